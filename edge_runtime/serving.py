"""Which bundle an assistant runs: at its start, and when another is activated while it serves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from edge_runtime.assistant import Assistant
from edge_runtime.bundles.crashes import ServingNote
from edge_runtime.bundles.running import RunningBundle, begin_bundle
from edge_runtime.bundles.slots import Slots
from edge_runtime.config import Settings
from edge_runtime.errors import EdgeRuntimeError, EngineError, ModelError, PackError, StorageError
from edge_runtime.rooms import Rooms

logger = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
_LOOK_S: Final = 5.0
_READY_S: Final = 0.1


def prepared_rooms(
    settings: Settings,
    slots: Slots,
    progress: Progress = lambda step, share: None,
) -> Rooms:
    """The stages of this device with the bundle that is to run, ready for text turns.

    A bundle that does not load is tried as often as one that kills the process; then the last good
    one is opened, and if that fails too, the models that came with the device.

    Raises:
        As :meth:`~edge_runtime.opened.OpenedRooms.prepare`, for the device's own models.
    """
    while (bundle := begin_bundle(slots)) is not None:
        try:
            return _prepared(settings, bundle, progress)
        except EdgeRuntimeError as error:
            if not _is_to_blame(bundle, error):
                slots.started()
                raise
            logger.warning("Bundle %s does not start: %s", bundle.label, error)
            if not slots.state.on_trial:
                break
    return _prepared(settings, None, progress)


def _prepared(settings: Settings, bundle: RunningBundle | None, progress: Progress) -> Rooms:
    rooms = Rooms(settings, bundle=bundle)
    try:
        rooms.prepare(progress)
    except BaseException:
        rooms.close()
        raise
    return rooms


def _is_to_blame(bundle: RunningBundle, error: EdgeRuntimeError) -> bool:
    """Whether it is the bundle, not this device's disk or settings, that does not work."""
    if isinstance(error, PackError):
        return bool(bundle.parts.packs)
    return isinstance(error, ModelError | EngineError)


def proved(slots: Slots, bundle: RunningBundle | None) -> None:
    """Keep that the bundle, or the device's own models, started and served."""
    try:
        slots.started()
        slots.prove(None if bundle is None else bundle.manifest)
    except (StorageError, ModelError) as error:
        logger.warning("%s", error)


class BundleKeeper:
    """Keeps a serving assistant on the bundle that the slots say is to run.

    Another process activates bundles. The new one's stages are opened beside the old ones, in the
    same memory budget, so that idle engines of the old ones make room where both do not fit; turns
    go on meanwhile. Then the next turn is the new bundle's.

    Args:
        assistant: opened by :func:`prepared_rooms`.
        slots: the device's.
    """

    def __init__(self, assistant: Assistant, slots: Slots) -> None:
        self._assistant = assistant
        self._slots = slots
        self._serves = _digest(assistant.rooms.bundle)
        self._settled = False
        self._given_up = ""
        self._note = ServingNote(slots.root)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, ready: Callable[[], bool] = lambda: True) -> None:
        """Look every few seconds, from when ``ready`` says that the process serves."""
        self._noted(self._serves)
        self._thread = threading.Thread(target=self._run, args=(ready,), name="bundles")
        self._thread.start()

    def stop(self) -> None:
        """End looking; a change under way is finished first."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._note.end()

    def _noted(self, digest: str | None) -> None:
        try:
            self._note.serve(digest)
        except StorageError as error:
            logger.warning("%s", error)

    def _run(self, ready: Callable[[], bool]) -> None:
        while not ready() and not self._stop.wait(_READY_S):
            pass
        while not self._stop.is_set():
            try:
                self.look()
            except EdgeRuntimeError as error:
                logger.warning("%s", error)
            self._stop.wait(_LOOK_S)

    def look(self) -> None:
        """Prove the bundle that serves, or change to the one that is to.

        Raises:
            ModelError, StorageError: the slots cannot be read or written.
        """
        active = self._slots.state.active
        wanted = None if active is None else self._slots.manifest(active).digest
        if wanted not in {self._serves, self._given_up}:
            self._change()
        elif not self._settled:
            self._settle()

    def _settle(self) -> None:
        """This process's first bundle has to load wholly before its start counts as one."""
        self._settled = True
        rooms = self._assistant.rooms
        try:
            rooms.warm_up()
        except EdgeRuntimeError as error:
            logger.warning("%s", error)
            # A model that the bundle does not bring may be missing here: that is not its fault.
            if rooms.bundle and rooms.bundle.parts.llm and _is_to_blame(rooms.bundle, error):
                self._serves = ""
                return
        proved(self._slots, rooms.bundle)

    def _change(self) -> None:
        former = self._assistant.rooms
        bundle = begin_bundle(self._slots)
        if _digest(bundle) == _digest(former.bundle) and self._serves:
            proved(self._slots, bundle)
            return
        try:
            rooms = self._warm(former, bundle)
        except EdgeRuntimeError as error:
            if bundle is None or not _is_to_blame(bundle, error):
                self._slots.started()
                raise
            logger.warning("Bundle %s does not start: %s", bundle.label, error)
            if not self._slots.state.on_trial:
                self._given_up = bundle.manifest.digest
            return
        self._assistant.change(rooms)
        self._serves, self._settled, self._given_up = _digest(bundle), True, ""
        self._noted(self._serves)
        proved(self._slots, bundle)
        logger.warning("From now on %s answers.", bundle.label if bundle else "the device itself")

    def _warm(self, former: Rooms, bundle: RunningBundle | None) -> Rooms:
        rooms = Rooms(former.settings, bundle=bundle, pool=former.engines.pool)
        try:
            rooms.prepare()
            if bundle is None or not bundle.parts.llm:
                return rooms
            rooms.warm_up()
        except BaseException:
            rooms.close()
            raise
        return rooms


def _digest(bundle: RunningBundle | None) -> str | None:
    return None if bundle is None else bundle.manifest.digest
