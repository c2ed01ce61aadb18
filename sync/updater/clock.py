"""Which time expiry is judged by, on devices whose clock may be wrong.

The repository signs into each root and timestamp when it was made (:data:`ISSUED`; The Update
Framework keeps and signs fields it does not know). It cannot be earlier than that now, so the
newest such time that the device has verified is a lower bound of the present, whatever its clock.
The bound comes from signatures only, never from the device's own clock: a clock that once said 2040
leaves no trace. It is read again from the kept metadata and verified each time; when a stolen
timestamp key has signed a time in the future, replacing that key in the root takes the bound away.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Timestamp

ISSUED = "x-edge-issued"
BELIEVED_AHEAD = timedelta(days=5 * 365)
"""A clock further ahead of the last signed time than this is wrong, not in the future."""

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

ClockState = Literal["believed", "behind", "ahead"]


@dataclass(frozen=True, slots=True)
class Reading:
    """``now`` is what expiry is judged by; ``clock`` says whether the device's clock agreed."""

    now: datetime
    clock: ClockState


def read_clock(metadata_dir: Path, wall: datetime, *, grace: timedelta = timedelta(0)) -> Reading:
    """The time to judge expiry by.

    Args:
        metadata_dir: where the trusted metadata is kept.
        wall: the device's clock, with its time zone.
        grace: how long past its expiry metadata is still taken; never reaches below the bound.
    """
    floor = _last_signed_time(metadata_dir)
    if floor is None:
        return Reading(wall - grace, "believed")
    if wall < floor:
        return Reading(floor, "behind")
    if wall > floor + BELIEVED_AHEAD:
        return Reading(floor, "ahead")
    return Reading(max(floor, wall - grace), "believed")


def issued_field(moment: datetime) -> dict[str, str]:
    """The signed field that states when metadata was made."""
    return {ISSUED: moment.astimezone(UTC).strftime(_FORMAT)}


def _last_signed_time(metadata_dir: Path) -> datetime | None:
    try:
        root = Metadata[Root].from_bytes((metadata_dir / "root.json").read_bytes())
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    except (OSError, RepositoryError, ValueError):
        return None
    times = [_issued(root.signed)]
    with contextlib.suppress(OSError, RepositoryError, ValueError):
        stamp = Metadata[Timestamp].from_bytes((metadata_dir / "timestamp.json").read_bytes())
        root.signed.verify_delegate(Timestamp.type, stamp.signed_bytes, stamp.signatures)
        times.append(_issued(stamp.signed))
    return max((time for time in times if time is not None), default=None)


def _issued(signed: Signed) -> datetime | None:
    try:
        text = signed.unrecognized_fields[ISSUED]
        return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError):
        return None
