"""Runs the espeak-ng program: text by standard input, no shell, bounded time."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Sequence

from edge_runtime.errors import EngineError, EngineTimeoutError

PROGRAM = "espeak-ng"
INSTALL_HINT = "Install it: sudo apt-get install espeak-ng"

_TIMEOUT_S = 20.0
_POLL_S = 0.05


def find_program() -> str:
    """Path of the espeak-ng program.

    Raises:
        EngineError: it is not installed.
    """
    path = shutil.which(PROGRAM)
    if path is None:
        raise EngineError(f"The program {PROGRAM} is not installed.", hint=INSTALL_HINT)
    return path


def run_program(
    program: str,
    arguments: Sequence[str],
    text: str = "",
    cancelled: threading.Event | None = None,
) -> bytes:
    """Run espeak-ng once and return what it wrote; nothing when it was cancelled.

    Raises:
        EngineTimeoutError: it ran past its limit.
        EngineError: it could not be started or failed.
    """
    try:
        process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise EngineError(f"{PROGRAM} cannot be started: {error}.", hint=INSTALL_HINT) from error
    with process:
        try:
            return _collect(process, text.encode("utf-8", "ignore"), cancelled)
        finally:
            process.kill()


def _collect(
    process: subprocess.Popen[bytes], text: bytes, cancelled: threading.Event | None
) -> bytes:
    deadline = time.monotonic() + _TIMEOUT_S
    unsent: bytes | None = text
    while True:
        try:
            output, complaint = process.communicate(unsent, timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            unsent = None
            if cancelled is not None and cancelled.is_set():
                return b""
            if time.monotonic() > deadline:
                raise EngineTimeoutError(f"{PROGRAM} ran longer than {_TIMEOUT_S:.0f} s.") from None
            continue
        if process.returncode != 0:
            said = complaint.decode("utf-8", "replace").strip()[:200]
            raise EngineError(f"{PROGRAM} failed: {said or process.returncode}.")
        return output
