"""Runs a step in a process of its own, so that a crash of its engine is an error like any other."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from typing import IO, Final, cast

from converters.child import DETAIL, LAUNCHED, REASON
from converters.errors import ConversionError
from converters.progress import Report
from edge_runtime.errors import StorageError

_COUNTED: Final = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
_FULL: Final = re.compile(
    "|".join(re.escape(os.strerror(code)) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
    # What torch and llama.cpp say of it.
    + "|PytorchStreamWriter failed writing|inline_container.*unexpected pos"
    + "|failed to quantize: .*iostream error"
)
_MAX_LINE: Final = 10_000
_MAX_OUTPUT: Final = 2**20


def run_module(
    module: str,
    arguments: Sequence[str],
    *,
    step: str,
    progress: Report,
    on_every_card: bool = False,
) -> str:
    """Run ``python -m module`` to its end; returns what it wrote to standard output.

    With ``on_every_card`` there is one such process for each of several graphics cards.

    ``[done/all]`` in its standard error tells ``progress``, as
    :func:`~converters.child.tell_progress` writes it or as llama.cpp does; a line that starts with
    ``reason:``, or else the last other line, is its reason when it fails. It never outlives this
    call, whatever interrupts or kills it.

    Raises:
        ConversionError: it failed or crashed.
        StorageError: it failed because the disk is full.
    """
    progress(step, 0.0)
    said: deque[str] = deque(maxlen=1)
    told: deque[str] = deque(maxlen=1)
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(
            [*_launcher(on_every_card), module, *arguments],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process,
    ):
        log = cast(IO[str], process.stderr)
        try:
            while line := log.readline(_MAX_LINE):
                if counted := _COUNTED.search(line):
                    detail = line.partition(DETAIL)[2].strip()
                    progress(step, int(counted[1]) / max(1, int(counted[2])), detail)
                elif line.startswith(REASON):
                    told.append(line.removeprefix(REASON).strip())
                elif line.strip():
                    said.append(line.strip())
            code = process.wait()
        finally:
            process.kill()
        reason = next(iter((*told, *said)), "it gave no reason")
        if code < 0:
            name = signal.Signals(-code).name
            raise ConversionError(f"The process crashed ({name}) while {step}: {reason}")
        if code and _FULL.search(reason):
            raise StorageError(
                f"The disk is full while {step}: {reason}",
                hint="Free some space, or write to another folder; what was finished is kept.",
            )
        if code:
            raise ConversionError(f"It failed while {step}: {reason}")
        output.seek(0)
        return output.read(_MAX_OUTPUT)


def _launcher(on_every_card: bool) -> list[str]:
    child = [sys.executable, "-m", "converters.child", str(os.getpid())]
    cards = _cards() if on_every_card else 0
    if cards < 2:
        return child
    # The launcher dies with this process, and what it launches dies with the launcher.
    return [
        *(*child, "accelerate.commands.launch", "--multi_gpu"),
        *("--num_processes", str(cards), "--mixed_precision", "bf16"),
        *("-m", "converters.child", LAUNCHED),
    ]


def _cards() -> int:
    # Imported late: most steps need no torch.
    import torch

    return torch.cuda.device_count()
