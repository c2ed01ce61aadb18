"""What is written down about the slots: which one runs (``state.json``), what served last
(``proved.json``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.bundles.documents import Digest, Strict, canonical_json, kept_document
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.files import write_atomic

SlotName = Literal["a", "b"]
MAX_FAILED_STARTS = 3


@dataclass(frozen=True, slots=True)
class SlotState:
    """Which slot runs, which one last worked, and how often the running one failed to start.

    ``fallen`` is the slot of a bundle that was taken back, until that has been noted.
    """

    active: SlotName | None = None
    good: SlotName | None = None
    failed_starts: int = 0
    fallen: SlotName | None = None

    @property
    def on_trial(self) -> bool:
        """Whether the running bundle has yet to prove itself."""
        return self.active is not None and self.active != self.good


@dataclass(frozen=True, slots=True)
class Proved:
    """A bundle that started and served: its name, version and its manifest's sha256."""

    name: str
    version: str
    sha256: str


class _Proved(Strict):
    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1, max_length=64)
    version: str = Field(min_length=1, max_length=64)
    sha256: Digest


class _State(Strict):
    schema_: Literal[1] = Field(alias="schema")
    active: SlotName | None
    good: SlotName | None
    failed_starts: int = Field(ge=0, le=MAX_FAILED_STARTS)
    fallen: SlotName | None = None


def read_state(root: Path) -> SlotState:
    """The state of the slots under ``root``; all empty before the first bundle.

    Raises:
        ModelCorruptError: the file is damaged.
    """
    document = kept_document(_State, root / "state.json", "slot state")
    if document is None:
        return SlotState()
    return SlotState(**document.model_dump(exclude={"schema_"}))


def write_state(root: Path, state: SlotState) -> None:
    """Replace the state in one step.

    Raises:
        StorageError: it cannot be written.
    """
    with storage_errors(root):
        write_atomic(root / "state.json", canonical_json({"schema": 1, **asdict(state)}))


def read_proved(root: Path) -> Proved | None:
    """The bundle that last served.

    Raises:
        ModelCorruptError: the file is damaged.
    """
    document = kept_document(_Proved, root / "proved.json", "proof of what runs")
    if document is None:
        return None
    return Proved(**document.model_dump(exclude={"schema_"}))


def write_proved(root: Path, manifest: BundleManifest | None) -> None:
    """Keep which bundle serves; ``None`` for the models that came with the device.

    Raises:
        StorageError: it cannot be written.
    """
    path = root / "proved.json"
    with storage_errors(root):
        if manifest is None:
            path.unlink(missing_ok=True)
            return
        proved = Proved(manifest.name, manifest.version, manifest.digest)
        write_atomic(path, canonical_json({"schema": 1, **asdict(proved)}))
