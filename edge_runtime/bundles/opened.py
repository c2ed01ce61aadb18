"""A bundle's folder (``manifest.json``, ``files/``) as verified files, wherever it lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_runtime import __version__
from edge_runtime.bundles.blobs import check_file, storage_errors
from edge_runtime.bundles.catalogue import CATALOGUE_FILE
from edge_runtime.bundles.documents import MAX_DOCUMENT_BYTES
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.errors import ModelCorruptError, ModelMissingError

MANIFEST = "manifest.json"
SHIPPED = CATALOGUE_FILE.parent
"""Bundles that come with the package lie beside the catalogue."""
_REINSTALL = "Install edge-runtime again: this comes with it."


def bundle_files(folder: Path, *, hint: str = "") -> Mapping[str, Path]:
    """The components of the bundle in ``folder`` by name, each just checked against the manifest.

    ``hint`` says what to do about a component that is gone or damaged.

    Raises:
        ModelMissingError: there is no bundle, or a component is gone.
        ModelCorruptError: the manifest is damaged, needs a newer runtime, or a component is not
            the one it lists.
        StorageError: the disk cannot be read.
    """
    path = folder / MANIFEST
    with storage_errors(path):
        try:
            if path.stat().st_size > MAX_DOCUMENT_BYTES:
                raise ModelCorruptError(f"{path} is larger than any bundle manifest.")
            manifest = BundleManifest.from_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise ModelMissingError(
                f"{folder} holds no bundle: it has no {MANIFEST}.",
                hint="Name the folder that 'edge-convert' wrote.",
            ) from None
    if not manifest.runs_on(__version__):
        raise ModelCorruptError(
            f"Bundle {manifest.name} needs edge-runtime {manifest.min_runtime} or newer; "
            f"this is {__version__}.",
            hint="Update edge-runtime.",
        )
    for component in manifest.components:
        label = f"File '{component.name}' of bundle {manifest.name}"
        target = folder / "files" / component.name
        check_file(target, component.size, component.sha256, label=label, hint=hint)
    return {component.name: folder / "files" / component.name for component in manifest.components}


def shipped_folder(name: str) -> Path | None:
    """The folder of the bundle called ``name`` that came with the package, if one did."""
    folder = SHIPPED / name
    return folder if (folder / MANIFEST).is_file() else None


def shipped_files(name: str) -> Mapping[str, Path]:
    """The files of the bundle called ``name`` that comes with the package.

    Raises:
        ModelMissingError, ModelCorruptError: it did not come along, or is damaged.
    """
    folder = shipped_folder(name)
    if folder is None:
        raise ModelMissingError(f"{name} is missing.", hint=_REINSTALL)
    return bundle_files(folder, hint=_REINSTALL)
