"""Collecting what is wrong with a pack, so that one check can name every defect at once."""

from __future__ import annotations

from edge_runtime.errors import PackError

MAX_PROBLEMS = 500


class Problems:
    """The defects found so far, in the order they were met; keeps at most ``MAX_PROBLEMS``."""

    def __init__(self) -> None:
        self._found: list[PackError] = []

    def report(self, message: str, *, file: str = "", line: int | None = None, hint: str) -> None:
        """Note one defect: what was wrong, where, and what to do about it."""
        if len(self._found) < MAX_PROBLEMS:
            self._found.append(PackError(message, file=file, line=line, hint=hint))

    @property
    def found(self) -> tuple[PackError, ...]:
        return tuple(self._found)

    def raise_first(self) -> None:
        """Raise the first defect, if any.

        Raises:
            PackError: the first defect reported.
        """
        if self._found:
            raise self._found[0]
