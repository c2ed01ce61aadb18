"""Progress bars of the converters, always on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge_runtime.commands.console import err

Report = Callable[[str, float], None]
"""Called with what is being done and the share already done, in [0, 1]."""


def silent(step: str, share: float) -> None:
    """Reports to nobody."""


@contextmanager
def shown() -> Iterator[Report]:
    """A bar on a terminal, one plain line a step elsewhere."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task("", total=1.0)
        last = ""

        def report(step: str, share: float) -> None:
            nonlocal last
            bars.update(task, description=step, completed=share)
            if step != last and not err.is_terminal:
                err.print(step, markup=False, soft_wrap=True)
            last = step

        yield report
