"""Steps in this process, for tests that are about what steps make and not about processes."""

from __future__ import annotations

import importlib
import io
import subprocess
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import SimpleNamespace
from typing import IO, Any, Final

import pytest

from converters import children

_MODULE: Final = 4
"""Where a step's name stands in the command that starts it."""
_HERE: Final = frozenset(
    f"converters.{name}"
    for name in (
        *("dequantize_child", "distill.fit", "distill.teacher_torch", "encoder.fit"),
        *("lora.compare_child", "lora.fit"),
    )
)
"""Steps that load PyTorch, for which they take longer than for most of what tests ask of them."""


class _Ended:
    """What :class:`subprocess.Popen` is of a step that ran to its end meanwhile."""

    def __init__(self, command: Sequence[str], *, stdout: IO[str], **_: Any) -> None:
        import torch

        module, *arguments = command[_MODULE:]
        threads = torch.get_num_threads()
        self.stderr = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(stdout), redirect_stderr(self.stderr):
            # They would be the step's own, among what it writes to standard error.
            warnings.simplefilter("ignore")
            try:
                self._code = importlib.import_module(module).main(arguments)
            except Exception:
                traceback.print_exc()
                self._code = 1
            finally:
                torch.set_num_threads(threads)
        self.stderr.seek(0)

    def __enter__(self) -> _Ended:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing runs any more."""

    def wait(self) -> int:
        return self._code

    def kill(self) -> None:
        """Nothing runs any more."""


def _started(command: Sequence[str], **how: Any) -> _Ended | subprocess.Popen[str]:
    if command[_MODULE] in _HERE:
        return _Ended(command, **how)
    return subprocess.Popen(command, **how)


@contextmanager
def steps_in_this_process() -> Iterator[None]:
    """Meanwhile PyTorch is not loaded anew for each step."""
    stand_in = SimpleNamespace(Popen=_started, PIPE=subprocess.PIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "subprocess", stand_in)
        yield
