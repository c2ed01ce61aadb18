"""Runs a step that dies with its parent; ``python -m converters.child PARENT MODULE …``.

A step is a module of this package whose ``main`` takes the other arguments and returns the exit
status; any other module runs as with ``python -m``. ``PARENT`` is the process id of whoever started
it, or ``launched`` where that was a launcher of several processes, whose number nobody knows
beforehand. A step whose parent was killed would otherwise go on writing into a folder that the next
run works in.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from edge_runtime.errors import EngineError

LAUNCHED: Final = "launched"
REASON: Final = "reason: "
"""What a line of standard error starts with that says why a step failed."""
DETAIL: Final = "] at "
"""What stands between ``[done/all`` and the words that say more, where there are any."""
_PR_SET_PDEATHSIG: Final = 1
_OURS: Final = "converters."
_UNASKED: Final = ("boto3", "scipy", "sklearn", "tabulate")
"""What PyTorch, transformers and accelerate load where it is installed, for what no step asks of
them: a quarter of a start's time and up to a quarter of its memory."""
_LINEAR: Final = "converters.encoder.fit"
"""The one step that trains scikit-learn's classifiers."""


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


@contextmanager
def quick_imports() -> Iterator[None]:
    """No garbage is looked for meanwhile: among thousands of modules that takes a fifth longer."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def main(arguments: list[str]) -> None:
    parent, module, *rest = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent != LAUNCHED and os.getppid() != int(parent):
            raise SystemExit("The process that asked for this is gone.")
    sys.argv = [module, *rest]
    try:
        if not module.startswith(_OURS):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            return
        for name in () if module == _LINEAR else _UNASKED:
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]
        with quick_imports():
            step = importlib.import_module(module)
        raise SystemExit(step.main(rest))
    except Exception as error:
        # A launcher closes with words of its own.
        if parent == LAUNCHED:
            tell_reason(f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    main(sys.argv[1:])
