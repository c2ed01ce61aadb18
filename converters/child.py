"""Runs a module that dies with its parent; ``python -m converters.child PARENT MODULE …``.

``PARENT`` is the process id of whoever started it, or ``launched`` where that was a launcher of
several processes, whose number nobody knows beforehand. A step whose parent was killed would
otherwise go on writing into a folder that the next run works in.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from edge_runtime.errors import EngineError

LAUNCHED: Final = "launched"
REASON: Final = "reason: "
"""What a line of standard error starts with that says why a step failed."""
DETAIL: Final = "] at "
"""What stands between ``[done/all`` and the words that say more, where there are any."""
_PR_SET_PDEATHSIG: Final = 1


class Refused(Exception):
    """Why the job cannot be done, one sentence."""


def tell_progress(done: int, total: int, detail: str = "") -> None:
    """Write how far this step is, as one line of standard error."""
    sys.stderr.write(f"[{done}/{total}{DETAIL if detail else ']'}{detail}\n")
    sys.stderr.flush()


def tell_reason(reason: str) -> None:
    """Write why this step fails as one line, whatever others write after it."""
    sys.stderr.write(f"{REASON}{' '.join(reason.split())}\n")


def answer(work: Callable[[dict[str, Any]], Any], arguments: list[str]) -> int:
    """Do the job that the first argument describes, and print what it found; both are JSON.

    Returns:
        The process's exit status: 1 where the job was refused, which standard error explains.
    """
    try:
        found = work(json.loads(arguments[0]))
    except (Refused, EngineError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(found))
    return 0


def main(arguments: list[str]) -> None:
    parent, module, *rest = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent != LAUNCHED and os.getppid() != int(parent):
            raise SystemExit("The process that asked for this is gone.")
    sys.argv = [module, *rest]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception as error:
        # A launcher closes with words of its own.
        if parent == LAUNCHED:
            tell_reason(f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    main(sys.argv[1:])
