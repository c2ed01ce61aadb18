"""Where long work reports how far it is; the caller decides how that looks."""

from __future__ import annotations

from typing import Protocol


class ProgressSink(Protocol):
    """Told about one task at a time; counts are bytes."""

    def start(self, label: str, total: int) -> None:
        """A task of ``total`` bytes begins."""

    def advance(self, count: int) -> None:
        """``count`` more bytes of the current task are done."""

    def finish(self) -> None:
        """The current task is over."""

    def note(self, text: str) -> None:
        """Something a person may want to know, one sentence."""


class Silent:
    """Reports to nobody."""

    def start(self, label: str, total: int) -> None:
        """Ignored."""

    def advance(self, count: int) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""
