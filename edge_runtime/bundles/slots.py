"""Two slots for a bundle: the next one is filled beside the running one, then switched in one step.

A slot is a folder of hard links into the content-addressed store. Which slot runs is one small file
that is replaced atomically, so a power cut leaves the old choice or the new, never neither. A new
bundle is on trial until :meth:`Slots.commit`; three failed starts on trial bring back the last good
slot.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_runtime.bundles.blobs import BlobStore, check_file, storage_errors
from edge_runtime.bundles.documents import Strict, canonical_json, read_document
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.errors import ModelMissingError
from edge_runtime.files import write_atomic

SlotName = Literal["a", "b"]
MAX_FAILED_STARTS = 3


@dataclass(frozen=True, slots=True)
class SlotState:
    """Which slot runs, which one last worked, and how often the running one failed to start."""

    active: SlotName | None = None
    good: SlotName | None = None
    failed_starts: int = 0

    @property
    def on_trial(self) -> bool:
        """Whether the running bundle has yet to prove itself."""
        return self.active is not None and self.active != self.good


class _State(Strict):
    schema_: Literal[1] = Field(alias="schema")
    active: SlotName | None
    good: SlotName | None
    failed_starts: int = Field(ge=0, le=MAX_FAILED_STARTS)


class Slots:
    """Slots "a" and "b" under ``root``. One process at a time may change them.

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
        with storage_errors(self.root):
            try:
                data = (self.root / "state.json").read_bytes()
            except FileNotFoundError:
                return SlotState()
        document = read_document(_State, data, "slot state")
        return SlotState(**document.model_dump(exclude={"schema_"}))

    @property
    def inactive(self) -> SlotName:
        """The slot that does not run, which the next bundle goes into."""
        return "b" if self.state.active == "a" else "a"

    def fill(self, manifest: BundleManifest) -> SlotName:
        """Put a bundle, whose components are all in the store, into the inactive slot.

        The running slot is not touched. Whatever the inactive slot held is given up.

        Raises:
            ModelMissingError: a component is not in the store.
            ModelCorruptError: a component's content is wrong.
            StorageError: the disk is full or read-only.
        """
        name = self.inactive
        slot = self.root / name
        for component in manifest.components:
            path = self.blobs.path(component.sha256)
            label = f"Component '{component.name}'"
            check_file(path, component.size, component.sha256, label=label)
        with storage_errors(self.root):
            self._forget(name)
            shutil.rmtree(slot, ignore_errors=True)
            for component in manifest.components:
                self.blobs.link(component.sha256, slot / "files" / component.name)
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
        self._write(replace(self.state, active=name, failed_starts=0))
        return name

    def commit(self) -> None:
        """The running bundle works: it is now what a later failure falls back to."""
        state = self.state
        self._write(SlotState(active=state.active, good=state.active))

    def start_failed(self) -> SlotState:
        """Count a failed start; the third one on trial switches back to the last good slot."""
        state = self.state
        failed = min(state.failed_starts + 1, MAX_FAILED_STARTS)
        if failed == MAX_FAILED_STARTS and state.on_trial and state.good is not None:
            self._write(SlotState(active=state.good, good=state.good))
        else:
            self._write(replace(state, failed_starts=failed))
        return self.state

    def _forget(self, name: SlotName) -> None:
        """Stop calling a slot good whose content is about to be replaced."""
        state = self.state
        if state.good == name:
            self._write(replace(state, good=None))

    def _write(self, state: SlotState) -> None:
        with storage_errors(self.root):
            write_atomic(self.root / "state.json", canonical_json({"schema": 1, **asdict(state)}))
