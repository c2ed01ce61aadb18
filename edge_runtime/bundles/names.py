"""Names of files: which are safe to use, and how they are ordered."""

from __future__ import annotations

import re
from pathlib import PurePosixPath


def safe_name(name: str) -> bool:
    """Whether ``name`` is a plain relative path that stays inside its folder."""
    return (
        0 < len(name) <= 240
        and "\\" not in name
        and name.isprintable()
        and all(part not in {"", ".", ".."} for part in name.split("/"))
        and ":" not in name
    )


def natural_key(member: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key under which part2 comes before part10."""
    pieces = re.split(r"(\d+)", PurePosixPath(member).as_posix())
    return tuple((0, int(p)) if p.isdigit() else (1, p) for p in pieces)
