"""The bundle that a process runs: chosen from the slots at its start, proved once it serves.

A start is counted before anything of the bundle is loaded, so that one which kills the process is
taken back without a network; see :class:`~edge_runtime.bundles.slots.Slots`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edge_runtime.bundles.blobs import BlobStore
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.bundles.slots import Slots
from edge_runtime.bundles.slotstate import SlotName
from edge_runtime.errors import EdgeRuntimeError, ModelCorruptError
from edge_runtime.modelfiles import ADAPTER, EMBEDDING, GGUF, LABELS, PIECES, TASK, TRUNK, WORDS

logger = logging.getLogger(__name__)

ENCODER = frozenset({WORDS, PIECES, TRUNK, EMBEDDING})
HEADS = frozenset({LABELS, TASK})
_NO_MODELS = ("pack", "cards")


@dataclass(frozen=True, slots=True)
class Parts:
    """A bundle's files by what they are for; each mapping is by the names its engine knows.

    ``encoder`` and ``heads`` are whole or empty. ``llm`` holds ``model.gguf`` and perhaps
    ``adapter.gguf``. ``packs`` are the folders of its domain packs by name.
    """

    encoder: Mapping[str, Path] = field(default_factory=dict)
    heads: Mapping[str, Path] = field(default_factory=dict)
    llm: Mapping[str, Path] = field(default_factory=dict)
    packs: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Mapping[str, Path]) -> Parts:
        """Sort a bundle's files, whatever folder of it they lie in.

        Raises:
            ModelCorruptError: there are two language models, or an adapter without its model.
        """
        named = {
            PurePosixPath(name).name: path
            for name, path in files.items()
            if PurePosixPath(name).parts[0] not in _NO_MODELS
        }
        encoder = {name: named[name] for name in ENCODER & named.keys()}
        heads = {name: named[name] for name in HEADS & named.keys()}
        return cls(
            encoder if encoder.keys() == ENCODER else {},
            heads if heads.keys() == HEADS else {},
            _language_model(files),
            _packs(files),
        )


@dataclass(frozen=True, slots=True)
class RunningBundle:
    """What a process runs, as its slot held it when the process started: checked byte for byte."""

    slot: SlotName
    manifest: BundleManifest
    parts: Parts

    @property
    def label(self) -> str:
        """Name, version and the beginning of the manifest's hash; stands in every turn's record."""
        return bundle_label(self.manifest.name, self.manifest.version, self.manifest.digest)


def bundle_label(name: str, version: str, digest: str) -> str:
    """How a turn's record names the bundle that answered it."""
    return f"{name} {version} {digest[:12]}"


def device_slots(models_dir: Path) -> Slots:
    """The slots of the device whose models lie in ``models_dir``."""
    return Slots(models_dir / "slots", BlobStore(models_dir))


def begin_bundle(slots: Slots) -> RunningBundle | None:
    """Count a start and choose what to run; ``None`` for the models that came with the device.

    A shop that answers with older models is better than a silent one: where a bundle cannot be
    read at all, the device's own models run, and the log says why.
    """
    try:
        slot = slots.begin_start()
        return None if slot is None else _opened(slots, slot)
    except EdgeRuntimeError as error:
        logger.warning("The models that came with this device run instead of a bundle: %s", error)
        return None


def current_bundle(slots: Slots) -> RunningBundle | None:
    """The active bundle, for a command that neither serves nor counts as a start."""
    try:
        slot = slots.state.active
        return None if slot is None else _opened(slots, slot)
    except EdgeRuntimeError as error:
        logger.warning("The models that came with this device run instead of a bundle: %s", error)
        return None


def _opened(slots: Slots, slot: SlotName) -> RunningBundle:
    files = slots.files(slot)
    return RunningBundle(slot, slots.manifest(slot), Parts.of(files))


def _language_model(files: Mapping[str, Path]) -> Mapping[str, Path]:
    found = {name: path for name, path in files.items() if name.endswith(".gguf")}
    adapters = [path for name, path in found.items() if PurePosixPath(name).name == ADAPTER]
    models = [path for path in found.values() if path not in adapters]
    if len(models) > 1 or len(adapters) > 1:
        raise ModelCorruptError("The bundle holds more than one language model.")
    if adapters and not models:
        raise ModelCorruptError(
            f"The bundle's {ADAPTER} lacks the model it belongs to.",
            hint="List the base model as a component too: a device that has it fetches nothing.",
        )
    if not models:
        return {}
    alone = {GGUF: models[0]}
    return {**alone, ADAPTER: adapters[0]} if adapters else alone


def _packs(files: Mapping[str, Path]) -> Mapping[str, Path]:
    """Folders ``pack/<name>`` that hold a ``pack.toml``."""
    found = {}
    for name, path in files.items():
        parts = PurePosixPath(name).parts
        if len(parts) == 3 and parts[0] == "pack" and parts[2] == "pack.toml":
            found[parts[1]] = path.parent
    return found
