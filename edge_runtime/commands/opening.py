"""Opening the assistant for a command, with progress where it takes long."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge_runtime.bundles.running import current_bundle, device_slots
from edge_runtime.commands.console import err
from edge_runtime.config import Settings

if TYPE_CHECKING:
    from edge_runtime.assistant import Assistant
    from edge_runtime.bundles.slots import Slots
    from edge_runtime.rooms import Rooms
    from edge_runtime.serving import BundleKeeper


@contextmanager
def opened_assistant(settings: Settings) -> Iterator[Assistant]:
    """The assistant, prepared for text turns with the device's bundle; closed when the block ends.

    A process that gets to the block's end, with or without an error told, has not failed to start.
    """
    from edge_runtime.serving import proved

    slots = device_slots(settings.models_dir)
    assistant = _prepared(settings, slots)
    try:
        yield assistant
    finally:
        proved(slots, assistant.rooms.bundle)
        assistant.close()


@contextmanager
def serving_assistant(settings: Settings) -> Iterator[tuple[Assistant, BundleKeeper]]:
    """The assistant of a process that stays, and who keeps it on the bundle that is to run.

    Told to stop (SIGTERM), such a process ends like one that is done.
    """
    from edge_runtime.serving import BundleKeeper

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    slots = device_slots(settings.models_dir)
    assistant = _prepared(settings, slots)
    keeper = BundleKeeper(assistant, slots)
    try:
        yield assistant, keeper
    finally:
        keeper.stop()
        assistant.close()


def _prepared(settings: Settings, slots: Slots) -> Assistant:
    from edge_runtime.assistant import Assistant
    from edge_runtime.serving import prepared_rooms

    with preparing() as progress:
        rooms = prepared_rooms(settings, slots, progress)
    return Assistant(settings, rooms=rooms)


@contextmanager
def opened_rooms(
    settings: Settings, *, journal: bool = False, prepared: bool = True
) -> Iterator[Rooms]:
    """The stages, by default prepared for text; closed when the block ends."""
    from edge_runtime.rooms import Rooms

    bundle = current_bundle(device_slots(settings.models_dir))
    rooms = Rooms(settings, journal=journal, bundle=bundle)
    try:
        if prepared:
            with preparing() as progress:
                rooms.prepare(progress)
        yield rooms
    finally:
        rooms.close()


@contextmanager
def preparing() -> Iterator[PreparationBar]:
    """A bar that shows only once there is something to show: everything may be in place."""
    bar = PreparationBar()
    try:
        yield bar
    finally:
        bar.stop()


class PreparationBar:
    """Called with what is being done and the share already done, in [0, 1]."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self._task = self._progress.add_task("preparing", total=1.0)
        self._started = False

    def __call__(self, step: str, share: float) -> None:
        if not self._started and share < 1.0:
            self._progress.start()
            self._started = True
        self._progress.update(self._task, description=f"preparing: {step}", completed=share)

    def stop(self) -> None:
        if self._started:
            self._progress.stop()
