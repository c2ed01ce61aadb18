"""Progress of the converters, always on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge_runtime.commands.console import err

_LEAST_S: Final = 10.0
_MOST_S: Final = 60.0
_FURTHER: Final = 0.05


class Report(Protocol):
    """Called with what is being done, the share already done, in [0, 1], and perhaps words that say
    more than the share, such as the loss of a training."""

    def __call__(self, step: str, share: float, detail: str = "", /) -> None: ...


def silent(step: str, share: float, detail: str = "", /) -> None:
    """Reports to nobody."""


class Lines:
    """What to print where no bar can move: each step once, and how far it is now and then.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._step = ""
        self._share = 0.0
        self._at = 0.0

    def due(self, step: str, share: float, detail: str) -> str:
        """The line to print now, or an empty text: of one step none comes within ten seconds of the
        last, and then when another twentieth is done or a minute has passed."""
        now = self._clock()
        waited, further = now - self._at, abs(share - self._share)
        fresh = step != self._step
        if not fresh and (waited < _LEAST_S or (further < _FURTHER and waited < _MOST_S)):
            return ""
        self._step, self._share, self._at = step, share, now
        return step if fresh else f"{step}: {detail or f'{share:.0%}'}"


@contextmanager
def shown() -> Iterator[Report]:
    """A bar on a terminal, plain lines elsewhere."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task("", total=1.0)
        lines = Lines()

        def report(step: str, share: float, detail: str = "", /) -> None:
            bars.update(task, description=f"{step}  {detail}".rstrip(), completed=share)
            if not err.is_terminal and (line := lines.due(step, share, detail)):
                err.print(line, markup=False, soft_wrap=True)

        yield report
