"""Trying a filled slot in a child process, so that what crashes or hangs does not stop the shop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import ModelCorruptError

TIMEOUT_S = 300.0
_MAX_OUTPUT = 65_536
COMMAND = (sys.executable, "-m", "edge_runtime.commands.trybundle")


@dataclass(frozen=True, slots=True)
class Tried:
    """A bundle that passed: test turns answered, and the child's peak memory in MB."""

    turns: int
    peak_mb: int


def try_bundle(
    slot: Path,
    *,
    profile: str,
    memory_mb: int,
    command: Sequence[str] = COMMAND,
    timeout_s: float = TIMEOUT_S,
) -> Tried:
    """Load every model of the bundle in ``slot``, answer its test turns, and look at its cards.

    Args:
        slot: the slot's folder: ``manifest.json``, ``files/``.
        profile: the device's profile.
        memory_mb: what the profile allows one process.
        command: the child, given the folder and the profile; it prints one JSON object.
        timeout_s: seconds until a child that hangs is killed.

    Raises:
        ModelCorruptError: it does not load, answers wrongly, takes too much memory or time, or a
            quality card misses its bars.
    """
    try:
        child = subprocess.run(
            [*command, str(slot), profile],
            capture_output=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise ModelCorruptError(
            f"The new bundle was tried and did not finish within {timeout_s:.0f} s."
        ) from None
    try:
        found = json.loads(child.stdout[-_MAX_OUTPUT:].splitlines()[-1])
        problem, turns, peak_mb = found["problem"], int(found["turns"]), int(found["peak_mb"])
    except (ValueError, IndexError, KeyError, TypeError):
        problem, turns, peak_mb = f"its process ended with {child.returncode}", 0, 0
    if problem:
        raise ModelCorruptError(f"The new bundle was tried and is refused: {problem}")
    if peak_mb > memory_mb:
        raise ModelCorruptError(
            f"The new bundle was tried and is refused: it takes {peak_mb} MB, "
            f"profile {profile} allows {memory_mb} MB."
        )
    return Tried(turns, peak_mb)
