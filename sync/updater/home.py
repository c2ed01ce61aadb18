"""Where a device keeps what it trusts, what it runs, and what it has turned down.

::

    <data>/updates/root.json        the root metadata this device was given to trust
    <data>/updates/metadata/        the newest trusted metadata
    <data>/updates/rejected.json    versions that proved worse here, and why
    <data>/updates/incoming/        downloads under way
    <models>/slots/                 the two bundles
    <models>/blobs/                 their content
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_runtime.bundles.blobs import BlobStore, storage_errors
from edge_runtime.bundles.documents import Digest, Strict, canonical_json, read_document
from edge_runtime.bundles.running import device_slots
from edge_runtime.bundles.slotstate import SlotName
from edge_runtime.config import Settings
from edge_runtime.errors import ConfigError
from edge_runtime.files import write_atomic
from sync.errors import UpdateRefusedError
from sync.updater.release import Release

RELEASE_NOTE = "release.json"
TRIAL_NOTE = "trial.json"
_MAX_REJECTED = 200
_MAX_ROOT_BYTES = 512_000


@dataclass(frozen=True, slots=True)
class Rejected:
    """A release that was taken back on this device; ``at`` is UTC, ISO 8601."""

    bundle: str
    version: str
    manifest: str
    decision: int
    reason: str
    at: str


class UpdateHome:
    """The folders of one device; see the module.

    Args:
        settings: the device's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.data_dir / "updates"
        self.metadata = self.folder / "metadata"
        self.incoming = self.folder / "incoming"
        self.blobs = BlobStore(settings.models_dir)
        self.slots = device_slots(settings.models_dir)

    def trusted_root(self, given: Path | None = None) -> bytes:
        """The root this device trusts; ``given`` is kept the first time.

        Raises:
            ConfigError: there is none, it cannot be read, or ``given`` is another one.
            StorageError: it cannot be kept.
        """
        path = self.folder / "root.json"
        with storage_errors(self.folder):
            kept = path.read_bytes() if path.is_file() else None
        if given is None:
            if kept is None:
                raise ConfigError(
                    "This device has no root to trust updates by.",
                    hint="Name the repository's first root once: edge-sync pull --root 1.root.json",
                )
            return kept
        try:
            with given.open("rb") as file:
                root = file.read(_MAX_ROOT_BYTES)
        except OSError as error:
            raise ConfigError(f"{given} cannot be read: {error.strerror}.") from error
        if kept is None:
            with storage_errors(self.folder):
                write_atomic(path, root)
        elif kept != root:
            raise ConfigError(
                "This device trusts another root already.",
                hint=f"To trust the new one instead, remove {self.folder} first.",
            )
        return root

    def release(self, slot: SlotName) -> Release | None:
        """The decision by which a slot holds its bundle.

        Raises:
            ModelCorruptError: the note is damaged.
        """
        note = self.slots.note(slot, RELEASE_NOTE)
        return None if note is None else Release.from_json(note)

    @property
    def running(self) -> Release | None:
        """The decision by which the running bundle runs, or ``None`` where none does."""
        active = self.slots.state.active
        return None if active is None else self.release(active)

    def rejected(self) -> tuple[Rejected, ...]:
        """What was taken back here, oldest first.

        Raises:
            ModelCorruptError: the list is damaged.
        """
        path = self.folder / "rejected.json"
        with storage_errors(self.folder):
            if not path.is_file():
                return ()
            data = path.read_bytes()
        document = read_document(_RejectedList, data, "list of rejected versions")
        return tuple(Rejected(**entry.model_dump()) for entry in document.rejected)

    def reject(self, release: Release, reason: str, now: datetime) -> Rejected:
        """Remember, before it is taken back, that this release is not to come again by itself.

        Raises:
            StorageError: it cannot be written.
        """
        entry = Rejected(
            release.bundle,
            release.version,
            release.manifest,
            release.decision,
            reason[:1000],
            now.isoformat(timespec="seconds"),
        )
        entries = [*self.rejected(), entry][-_MAX_REJECTED:]
        body = {"schema": 1, "rejected": [asdict(each) for each in entries]}
        with storage_errors(self.folder):
            write_atomic(self.folder / "rejected.json", canonical_json(body))
        return entry

    def has_rejected(self, release: Release) -> bool:
        """Whether this very decision was taken back here."""
        return any(
            (entry.manifest, entry.decision) == (release.manifest, release.decision)
            for entry in self.rejected()
        )

    def refuse_rejected(self, release: Release) -> None:
        """Refuse a release that was taken back here, unless it was decided anew since.

        Raises:
            UpdateRefusedError: it was, and was not.
        """
        for entry in self.rejected():
            same = (entry.bundle, entry.manifest) == (release.bundle, release.manifest)
            if same and release.decision <= entry.decision:
                raise UpdateRefusedError(
                    f"{release.bundle} {release.version} was taken back here: {entry.reason}",
                    hint="It comes back only by a new release decision.",
                )

    def clear_incoming(self) -> None:
        """Delete downloads that nothing will go on with."""
        with storage_errors(self.folder):
            shutil.rmtree(self.incoming, ignore_errors=True)


class _Entry(Strict):
    bundle: str = Field(max_length=64)
    version: str = Field(max_length=64)
    manifest: Digest
    decision: int = Field(ge=1)
    reason: str = Field(max_length=1000)
    at: str = Field(max_length=64)


class _RejectedList(Strict):
    schema_: Literal[1] = Field(alias="schema")
    rejected: tuple[_Entry, ...] = Field(max_length=_MAX_REJECTED)
