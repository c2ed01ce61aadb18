"""Runs a module that dies with its parent; ``python -m converters.child PARENT MODULE …``.

``PARENT`` is the process id of whoever started it, or ``launched`` where a launcher did, which
knows no such number when it is asked. A step whose parent was killed would otherwise
go on writing into a folder that the next run works in.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
from typing import Final

LAUNCHED: Final = "launched"
_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> None:
    parent, module, *rest = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent != LAUNCHED and os.getppid() != int(parent):
            raise SystemExit("The process that asked for this is gone.")
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
