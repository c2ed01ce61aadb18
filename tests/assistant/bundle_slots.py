"""Bundles of the shipped heads in the slots of a device of the test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from e2e.cli_kit import PATIENT

from edge_runtime.bundles import shipped_files
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.bundles.running import device_slots
from edge_runtime.bundles.slots import Slots
from edge_runtime.config import Settings, load_settings

HEADS = "student-e5-small-retail"


def device(folder: Path) -> Settings:
    """A lite device; what can be derived from packs and models is shared with the other tests."""
    models = folder / "models"
    models.mkdir(parents=True)
    shared = load_settings().models_dir / "derived"
    shared.mkdir(parents=True, exist_ok=True)
    (models / "derived").symlink_to(shared)
    return load_settings(profile="lite", data_dir=folder / "data", models_dir=models, **PATIENT)


def heads(**changed: bytes) -> dict[str, bytes]:
    found = {name: path.read_bytes() for name, path in shipped_files(HEADS).items()}
    return found | {name.replace("_", "."): data for name, data in changed.items()}


def fill(slots: Slots, version: str, files: Mapping[str, bytes]) -> BundleManifest:
    """Put a bundle into the inactive slot and switch to it."""
    components = []
    for name, data in files.items():
        sha256 = hashlib.sha256(data).hexdigest()
        slots.blobs.add([data], len(data), sha256, label=name)
        components.append(Component(name, len(data), sha256, "bin", "MIT"))
    manifest = BundleManifest("retail", version, "0.1", tuple(components))
    slots.fill(manifest)
    slots.activate()
    return manifest


def slots_of(settings: Settings) -> Slots:
    return device_slots(settings.models_dir)
