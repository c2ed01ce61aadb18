"""The forms in which values are kept in the tables."""

from __future__ import annotations

from datetime import UTC, datetime


def plain(text: object, limit: int = 200) -> str:
    """At most ``limit`` characters, without NUL, which PostgreSQL does not keep in text."""
    return str(text).replace("\x00", "")[:limit]


def utc(moment: datetime) -> str:
    """The one form in which times are kept."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
