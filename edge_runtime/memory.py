"""What this program holds in memory, and giving back what it no longer needs."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path


def resident_mb() -> int:
    """Resident memory of this process in MiB (Linux; 0 where /proc is missing)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def peak_mb() -> float:
    """The most this program has held, in MiB (Linux; 0 where /proc is missing).

    Not getrusage's: that counts what the parent held when it started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def return_free_memory() -> None:
    """glibc keeps freed heap to itself; small devices need it back at once."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
