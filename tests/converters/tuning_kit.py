"""What the tests of adapters' training share: the command as a process, to be stopped midway."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain_kit import conversations

PROGRAM = str(Path(sys.executable).with_name("edge-convert"))
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``told`` is what ``--json`` printed."""

    code: int
    told: Any
    errors: str


def started(
    command: Sequence[str | Path], *, before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*map(str, command), "--threads", "1", "--json"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,  # noqa: PLW1509
    )


def ended(process: subprocess.Popen[str]) -> Ended:
    output, errors = process.communicate()
    return Ended(process.returncode, json.loads(output) if output else None, errors)


def run(command: Sequence[str | Path], *, limit: int = 0) -> Ended:
    """Run to the end; ``limit`` is the largest file that may be written, in bytes."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return ended(started(command, before=limited if limit else None))


def stop_at(step: int, out: Path, command: Sequence[str | Path], how: signal.Signals) -> Ended:
    """Send ``how`` as soon as there is a whole checkpoint of ``step``."""
    kept = checkpoints(out) / f"checkpoint-{step}" / "trainer_state.json"
    process = started(command)
    while process.poll() is None and not kept.exists():
        time.sleep(0.005)
    process.send_signal(how)
    return ended(process)


def checkpoints(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial") / ".checkpoints"


def last_checkpoint(out: Path) -> int:
    return max(int(path.name.rpartition("-")[2]) for path in checkpoints(out).glob("checkpoint-*"))


def working_on(out: Path) -> list[int]:
    """The processes whose arguments name what becomes ``out``."""
    name = str(checkpoints(out)).encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if name in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def until(true: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait for it.

    Raises:
        TimeoutError: it did not become true.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def loss_told(told: Sequence[tuple[Any, ...]], step: str) -> bool:
    """Whether progress of ``step`` said how many steps are done of how many, and the loss."""
    said = re.compile(r"step \d+ of \d+.*, loss \d+\.\d{3}")
    return any(said.fullmatch(detail) for name, _, *more in told for detail in more if name == step)


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def pairs() -> list[dict[str, Any]]:
    """What was answered is better than saying nothing of use."""
    return [
        {
            "messages": row["messages"][:-1],
            "chosen": row["messages"][-1]["content"],
            "rejected": "No idea at all.",
        }
        for row in conversations()
    ]
