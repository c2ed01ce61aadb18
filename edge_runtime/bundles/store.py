"""The models on this device: every file is held against its pinned hash before anything loads it.

::

    <root>/blobs/sha256/<hash>                   content, once
    <root>/installed/<model id>/manifest.json    which variant is installed
    <root>/installed/<model id>/<digest>/<name>  hard links under the names that engines expect
    <root>/incoming/                             downloads under way
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_runtime.bundles.blobs import SHA256, BlobStore, check_file, exclusive, storage_errors
from edge_runtime.bundles.catalogue import Catalogue, ModelEntry, ModelFile
from edge_runtime.bundles.names import safe_name
from edge_runtime.errors import ModelCorruptError, ModelError, ModelMissingError
from edge_runtime.files import sync_folder, write_atomic

_MAX_MANIFEST_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed model; ``folder`` holds ``files`` under their own names."""

    id: str
    variant: str
    source: str
    files: tuple[ModelFile, ...]
    folder: Path

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Verified:
    """Outcome of checking one installed model; ``error`` is ``None`` when every byte is right."""

    id: str
    size: int
    error: ModelError | None


def files_digest(files: tuple[ModelFile, ...]) -> str:
    """sha256 over names, sizes and hashes: the identity of a set of files."""
    canonical = json.dumps([asdict(file) for file in sorted(files, key=lambda f: f.name)])
    return hashlib.sha256(canonical.encode()).hexdigest()


class ModelStore:
    """Models under ``root``. Reading needs no lock and no write access; see ``pull`` for fetching.

    Args:
        root: the models folder; need not exist yet.
        catalogue: what may be installed; the shipped catalogue by default.
    """

    def __init__(self, root: Path, catalogue: Catalogue | None = None) -> None:
        self.root = root
        self.catalogue = catalogue or Catalogue.load()
        self.blobs = BlobStore(root)
        self.incoming = root / "incoming"
        self._installed = root / "installed"

    def files(self, model_id: str) -> Mapping[str, Path]:
        """The model's files by name, each just checked against its size and sha256.

        Raises:
            ConfigError: no such model.
            ModelMissingError: it, or one of its files, is not here.
            ModelCorruptError: a file is not the catalogued one.
        """
        installed = self.get(model_id)
        self._check(installed)
        return {file.name: installed.folder / file.name for file in installed.files}

    def directory(self, model_id: str) -> Path:
        """The folder that holds exactly the model's files, just checked like :meth:`files`.

        Raises:
            ConfigError: no such model.
            ModelMissingError: it, or one of its files, is not here.
            ModelCorruptError: a file is not the catalogued one, or does not belong there.
        """
        installed = self.get(model_id)
        self._check(installed)
        expected = {file.name for file in installed.files}
        for path in installed.folder.rglob("*"):
            name = path.relative_to(installed.folder).as_posix()
            if (path.is_symlink() or not path.is_dir()) and name not in expected:
                raise ModelCorruptError(
                    f"'{name}' does not belong to model {model_id}.", hint=_repair(model_id)
                )
        return installed.folder

    def get(self, model_id: str) -> Installed:
        """What is installed under this id, its content unchecked.

        Raises:
            ConfigError: no such model.
            ModelMissingError: nothing, or a version the catalogue no longer lists.
            ModelCorruptError: its manifest is damaged.
        """
        entry = self.catalogue.entry(model_id)
        if entry.install:
            raise ModelMissingError(
                f"{model_id} has no model files: it comes with the system or a library.",
                hint=f"Install it with: {entry.install}",
            )
        installed = self._read_manifest(model_id)
        known = [variant.files for variant in entry.variants if variant.files]
        if entry.pinned and installed.files not in known:
            raise ModelMissingError(
                f"Another version of model {model_id} is installed.", hint=pull_hint(model_id)
            )
        return installed

    def installed(self) -> tuple[Installed, ...]:
        """All usable installed models in catalogue order, their content unchecked."""
        found = []
        for entry in self.catalogue.entries.values():
            try:
                found.append(self.get(entry.id))
            except ModelError:
                continue
        return tuple(found)

    def verify(
        self,
        model_ids: tuple[str, ...] = (),
        *,
        started: Callable[[str], None] = lambda model_id: None,
    ) -> tuple[Verified, ...]:
        """Check every byte of the named models, or of all that are installed.

        ``started`` is told each id before its check, which takes a while for large models.

        Raises:
            ConfigError: no such model.
        """
        results = []
        for model_id in model_ids or self._present_ids():
            started(model_id)
            size = 0
            try:
                size = self.get(model_id).size
                self.directory(model_id)
            except ModelError as error:
                results.append(Verified(model_id, size, error))
            else:
                results.append(Verified(model_id, size, None))
        return tuple(results)

    def remove(self, model_id: str) -> int:
        """Delete a model; returns the bytes freed. Files that another model shares stay.

        Raises:
            ConfigError: no such model.
            ModelMissingError: it is not installed.
            StorageError: the store cannot be written.
        """
        self.catalogue.entry(model_id)
        folder = self._installed / model_id
        if not folder.is_dir():
            raise ModelMissingError(f"Model {model_id} is not installed.")
        with self.locked():
            try:
                files = self._read_manifest(model_id).files
            except ModelError:
                files = ()
            with storage_errors(self.root):
                # The manifest goes first: a crash half way leaves a model that is cleanly absent.
                (folder / "manifest.json").unlink(missing_ok=True)
                shutil.rmtree(folder)
                sync_folder(self._installed)
            return self._discard_unused(files)

    def commit(
        self, entry: ModelEntry, variant: str, source: str, files: tuple[ModelFile, ...]
    ) -> Installed:
        """Make a model out of blobs that are all in the store; the last step of a pull.

        The caller holds :meth:`locked`. Readers see the old model or the new one, never a mixture.

        Raises:
            StorageError: the store cannot be written.
        """
        home = self._installed / entry.id
        folder = home / files_digest(files)[:16]
        staging = home / f".{folder.name}.{os.getpid()}"
        with storage_errors(self.root):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            for file in files:
                self.blobs.link(file.sha256, staging / file.name)
            for path in [staging, *(p for p in staging.rglob("*") if p.is_dir())]:
                sync_folder(path)
            if folder.exists():
                shutil.rmtree(folder)
            staging.rename(folder)
            manifest = {
                "schema": 1,
                "variant": variant,
                "source": source,
                "files": [asdict(file) for file in files],
            }
            write_atomic(home / "manifest.json", json.dumps(manifest, indent=1).encode())
            for stale in home.iterdir():
                if stale.is_dir() and stale != folder:
                    shutil.rmtree(stale)
            sync_folder(self._installed)
        return Installed(entry.id, variant, source, files, folder)

    @contextmanager
    def locked(self, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the store against a second writer; ``waiting`` is called if there is one.

        Raises:
            StorageError: the store cannot be written.
        """
        with exclusive(self.root, waiting):
            yield

    def _check(self, installed: Installed) -> None:
        for file in installed.files:
            check_file(
                installed.folder / file.name,
                file.size,
                file.sha256,
                label=f"File '{file.name}' of model {installed.id}",
                hint=_repair(installed.id),
            )

    def _present_ids(self) -> tuple[str, ...]:
        return tuple(i for i in self.catalogue.entries if (self._installed / i).is_dir())

    def _read_manifest(self, model_id: str) -> Installed:
        path = self._installed / model_id / "manifest.json"
        with storage_errors(self.root):
            try:
                with path.open("rb") as stream:
                    raw = stream.read(_MAX_MANIFEST_BYTES)
            except (FileNotFoundError, NotADirectoryError):
                raise ModelMissingError(
                    f"Model {model_id} is not on this device.", hint=pull_hint(model_id)
                ) from None
        try:
            data = json.loads(raw)
            files = tuple(ModelFile(f["name"], f["size"], f["sha256"]) for f in data["files"])
            variant, source = str(data["variant"]), str(data["source"])
            sound = all(
                safe_name(f.name) and type(f.size) is int and SHA256.fullmatch(f.sha256)
                for f in files
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            sound = False
        if not sound:
            raise ModelCorruptError(
                f"The manifest of model {model_id} is damaged.", hint=_repair(model_id)
            )
        folder = path.parent / files_digest(files)[:16]
        return Installed(model_id, variant, source, files, folder)

    def _discard_unused(self, files: tuple[ModelFile, ...]) -> int:
        used: set[str] = set()
        for model_id in self._present_ids():
            try:
                used.update(file.sha256 for file in self._read_manifest(model_id).files)
            except ModelError:
                continue
        freed = 0
        for sha256 in {file.sha256 for file in files} - used:
            blob = self.blobs.path(sha256)
            # More links than its own name: a slot still uses it.
            if blob.exists() and blob.stat().st_nlink == 1:
                freed += self.blobs.discard(sha256)
        return freed


def pull_hint(model_id: str) -> str:
    """What to do about a missing model."""
    return f"Get it with: edge-runtime models pull {model_id}"


def _repair(model_id: str) -> str:
    return f"Repair it with: edge-runtime models pull {model_id}"
