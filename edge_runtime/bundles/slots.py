"""Two slots for a bundle: the next one is filled beside the running one, then switched in one step.

::

    state.json              which slot runs, which one is good, failed starts
    proved.json             the bundle that last proved to serve
    serving/, crashes.json  which processes serve, which did not end well
    a/, b/                  manifest.json, files/, notes

A slot is a folder of hard links into the content-addressed store. Which slot runs is one small file
that is replaced atomically, so a power cut leaves the old choice or the new, never neither. A new
bundle is on trial until :meth:`Slots.commit`; three failed starts on trial bring back the last good
slot, or, where there is none, the models that came with the device. While a bundle is on trial the
other slot holds the last good one and is not filled.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edge_runtime.bundles.blobs import BlobStore, check_file, exclusive, storage_errors
from edge_runtime.bundles.crashes import forget_crashes
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.bundles.slotstate import (
    MAX_FAILED_STARTS,
    Proved,
    SlotName,
    SlotState,
    read_proved,
    read_state,
    write_proved,
    write_state,
)
from edge_runtime.errors import ModelError, ModelMissingError
from edge_runtime.files import write_atomic


class Slots:
    """Slots "a" and "b" under ``root``. One process at a time may fill them; any may start one.

    Args:
        root: folder of the slots; need not exist yet.
        blobs: where the components' content is.
    """

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self.root = root
        self.blobs = blobs

    @property
    def state(self) -> SlotState:
        """The current state; all empty before the first bundle.

        Raises:
            ModelCorruptError: the state file is damaged.
        """
        return read_state(self.root)

    @property
    def inactive(self) -> SlotName:
        """The slot that does not run, which the next bundle goes into."""
        return "b" if self.state.active == "a" else "a"

    def fill(self, manifest: BundleManifest, notes: Mapping[str, bytes] | None = None) -> SlotName:
        """Put a bundle, whose components are all in the store, into the inactive slot.

        The running slot is not touched. Whatever the inactive slot held is given up.

        Args:
            notes: small files kept beside the manifest, such as why the bundle is here.

        Raises:
            ModelError: a bundle is on trial, and the other slot is what it may fall back to.
            ModelMissingError: a component is not in the store.
            ModelCorruptError: a component's content is wrong.
            StorageError: the disk is full or read-only.
        """
        name = self.inactive
        slot = self.root / name
        if self.state.on_trial and self.state.good == name:
            raise ModelError(
                "The running bundle is still on trial; the last good one is kept beside it.",
                hint="Wait for its verdict, or take it back: edge-sync rollback",
            )
        for component in manifest.components:
            path = self.blobs.path(component.sha256)
            label = f"Component '{component.name}'"
            check_file(path, component.size, component.sha256, label=label)
        with storage_errors(self.root):
            self._forget(name)
            shutil.rmtree(slot, ignore_errors=True)
            for component in manifest.components:
                self.blobs.link(component.sha256, slot / "files" / component.name)
            for note, content in (notes or {}).items():
                write_atomic(slot / note, content)
            # Written last: a slot without its manifest is an unfinished one.
            write_atomic(slot / "manifest.json", manifest.to_json())
        return name

    def manifest(self, name: SlotName) -> BundleManifest:
        """What a slot holds.

        Raises:
            ModelMissingError: it is empty or was never finished.
            ModelCorruptError: its manifest is damaged.
        """
        with storage_errors(self.root):
            try:
                data = (self.root / name / "manifest.json").read_bytes()
            except FileNotFoundError:
                raise ModelMissingError(f"Slot {name} holds no bundle.") from None
        return BundleManifest.from_json(data)

    def note(self, name: SlotName, note: str) -> bytes | None:
        """A small file that :meth:`fill` put beside the manifest, or ``None``."""
        with storage_errors(self.root):
            try:
                return (self.root / name / note).read_bytes()
            except FileNotFoundError:
                return None

    def files(self, name: SlotName) -> Mapping[str, Path]:
        """A slot's files by name, each just checked against its size and sha256.

        Raises:
            ModelMissingError: the slot is empty, or a file is gone.
            ModelCorruptError: a file is not the one the manifest lists.
        """
        folder = self.root / name / "files"
        components = self.manifest(name).components
        for component in components:
            label = f"File '{component.name}' of slot {name}"
            check_file(folder / component.name, component.size, component.sha256, label=label)
        return {component.name: folder / component.name for component in components}

    def activate(self) -> SlotName:
        """Switch to the other slot after checking every byte of it; it is then on trial.

        Raises:
            ModelMissingError: the other slot is empty.
            ModelCorruptError: its content is wrong; the running slot goes on.
            StorageError: the switch cannot be written; the running slot goes on.
        """
        name = self.inactive
        self.files(name)
        digest = self.manifest(name).digest
        with self._changing():
            forget_crashes(self.root, digest)
            write_state(self.root, replace(self.state, active=name, failed_starts=0))
        return name

    def commit(self) -> None:
        """The running bundle works: it is now what a later failure falls back to."""
        with self._changing():
            state = self.state
            write_state(self.root, SlotState(active=state.active, good=state.active))

    def roll_back(self) -> SlotState:
        """Take a bundle on trial back: the last good slot runs, or the device's own models."""
        with self._changing():
            return self._rolled_back()

    def _rolled_back(self) -> SlotState:
        state = self.state
        if state.on_trial:
            write_state(
                self.root, SlotState(active=state.good, good=state.good, fallen=state.active)
            )
        return self.state

    def noted(self) -> None:
        """Whoever keeps account knows of the fallen bundle."""
        with self._changing():
            if self.state.fallen is not None:
                write_state(self.root, replace(self.state, fallen=None))

    def begin_start(self) -> SlotName | None:
        """Choose what to run and count the attempt before anything can crash; needs no network.

        Call :meth:`started` once the bundle serves. A bundle on trial that three times did not get
        that far, or whose files are damaged, is taken back.

        Returns:
            The slot to run, its content checked; ``None`` for the models that came with the device.
        """
        if self.state.active is None:
            return None
        with self._changing():
            if self.state.failed_starts == MAX_FAILED_STARTS:
                self._rolled_back()
            while (active := self.state.active) is not None:
                try:
                    self.files(active)
                except ModelError:
                    if not self.state.on_trial:
                        raise
                    self._rolled_back()
                else:
                    failed = min(self.state.failed_starts + 1, MAX_FAILED_STARTS)
                    write_state(self.root, replace(self.state, failed_starts=failed))
                    return active
        return None

    def started(self) -> None:
        """The running bundle serves: this start did not fail."""
        if self.state.failed_starts:
            with self._changing():
                write_state(self.root, replace(self.state, failed_starts=0))

    def start_failed(self) -> SlotState:
        """Count a failed start; the third one on trial switches back to the last good slot."""
        with self._changing():
            state = self.state
            failed = min(state.failed_starts + 1, MAX_FAILED_STARTS)
            if failed == MAX_FAILED_STARTS and state.on_trial:
                return self._rolled_back()
            write_state(self.root, replace(state, failed_starts=failed))
            return self.state

    def prove(self, manifest: BundleManifest | None) -> None:
        """Keep which bundle serves; ``None`` for the models that came with the device.

        Raises:
            StorageError: it cannot be written.
        """
        write_proved(self.root, manifest)

    @property
    def proved(self) -> Proved | None:
        """The bundle that last started here and served, whatever is to run now.

        Raises:
            ModelCorruptError: the file is damaged.
        """
        return read_proved(self.root)

    def _forget(self, name: SlotName) -> None:
        """Stop calling a slot good or fallen whose content is about to be replaced."""
        with self._changing():
            state = self.state
            if name in {state.good, state.fallen}:
                good = None if state.good == name else state.good
                fallen = None if state.fallen == name else state.fallen
                write_state(self.root, replace(state, good=good, fallen=fallen))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes the state between its reading and its writing."""
        with exclusive(self.root):
            yield
