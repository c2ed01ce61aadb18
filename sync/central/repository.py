"""The signed update repository among the objects, from where devices and mirrors read it.

Nothing is signed there: what is needed of it is copied to a folder of this machine, changed, judged
as a device would judge it, and brought back so that whoever reads meanwhile sees the old repository
or the new: every file is new under its own name, but for the timestamp, which goes last.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from edge_runtime.bundles.blobs import BlobStore, exclusive, storage_errors
from edge_runtime.errors import ConfigError, InputError, StorageError
from edge_runtime.files import write_atomic
from sync.central.keys import ONLINE, KeyFolder, make_online, online_signers, replaced
from sync.central.objects import Objects
from sync.central.releases import REPOSITORY, Prepared
from sync.publishing import (
    RepositoryWriter,
    change_root,
    create_repository,
    replace_key,
    verify_repository,
)
from sync.updater.release import manifest_path, release_path

_MAX_METADATA_BYTES = 64 * 2**20
_MAX_RELEASE_BYTES = 2**16
_STAMP = "metadata/timestamp.json"


class SignedRepository:
    """One repository; whoever changes it holds :meth:`Database.alone` meanwhile.

    Args:
        objects: where it lies, below ``repository/``.
        keys: those that sign day to day.
        workshop: a folder for the work, emptied before and after it.
    """

    def __init__(self, objects: Objects, keys: KeyFolder, workshop: Path) -> None:
        self._objects = objects
        self._keys = keys
        self._workshop = workshop

    def create(self, offline: KeyFolder, *, roots: int, threshold: int) -> bytes:
        """Make the keys that are not there yet, and an empty repository.

        Returns:
            Its first root, which devices are given to trust.

        Raises:
            ConfigError: there is a repository already, or a key cannot be used.
            StorageError: keys or objects cannot be written.
        """
        if self._objects.find(f"{REPOSITORY}/{_STAMP}") is not None:
            raise ConfigError(f"{self._objects.place} holds a repository already.")
        with self._empty_workshop() as folder:
            root_signers = [offline.load_or_make(f"root-{at + 1}") for at in range(roots)]
            targets = [offline.load_or_make("targets")]
            online = make_online(self._keys)
            create_repository(folder, root_signers, targets, online, threshold=threshold)
            first = (folder / "metadata" / "1.root.json").read_bytes()
            self._bring_back(folder, {})
        return first

    def publish(self, prepared: Prepared, *, latest: bool = False) -> str:
        """Sign a bundle and a new decision to run it.

        Args:
            latest: whether devices that ask for no version in particular take it.

        Returns:
            The path of its manifest in the repository.

        Raises:
            ConfigError: the keys are missing or not the repository's, or there is no repository, or
                the version was published with other content.
            StorageError: the objects cannot be read or written.
        """
        manifest = prepared.manifest
        with self._checked_out(manifest.name) as (folder, before):
            writer = RepositoryWriter(folder, online_signers(self._keys))
            writer.publish(manifest, BlobStore(prepared.store), latest=latest)
            self._bring_back(folder, before)
        return manifest_path(manifest.name, manifest.version)

    def renew(self, offline: KeyFolder | None = None) -> None:
        """Sign anew what expires: by day the snapshot and timestamp, with the offline keys
        everything.

        Raises:
            ConfigError: keys are missing or not the repository's, or there is no repository.
            StorageError: the objects cannot be read or written.
        """
        with self._checked_out() as (folder, before):
            writer = RepositoryWriter(folder, online_signers(self._keys))
            if offline is None:
                writer.renew()
            else:
                change_root(folder, lambda root: None, list(offline.roots().values()))
                writer.delegate([offline.load("targets")])
            self._bring_back(folder, before)

    def replace(self, name: str, offline: KeyFolder) -> None:
        """Make a new key and put it in the place of the one called ``name``, lost, stolen or old.

        Raises:
            ConfigError: the offline keys that must agree are missing or not the repository's.
            StorageError: keys or objects cannot be read or written.
        """
        with self._checked_out() as (folder, before):
            offline.settle(_key_ids(folder))
            held = self._keys if name in ONLINE else offline
            successor = held.successor(name)
            if name in ("releases", "components"):
                online = replaced(self._keys, name, successor)
                RepositoryWriter(folder, online).delegate([offline.load("targets")])
            else:
                self._replace_by_root(folder, name, successor, offline)
            self._bring_back(folder, before)
            held.settle({successor.public_key.keyid})

    def _replace_by_root(
        self, folder: Path, name: str, successor: Signer, offline: KeyFolder
    ) -> None:
        role = name.partition("-")[0]
        roots = offline.roots()
        old = _id_in_root(folder, role, name, roots)
        signers = [*roots.values(), *([successor] if role == "root" else [])]
        change_root(
            folder, lambda root: replace_key(root, role, old, successor.public_key), signers
        )
        if name in ONLINE:
            RepositoryWriter(folder, replaced(self._keys, name, successor)).renew()
        elif role == "targets":
            RepositoryWriter(folder, online_signers(self._keys)).delegate([successor])

    # ---- the copy that is worked on ----

    @contextmanager
    def _empty_workshop(self) -> Iterator[Path]:
        with exclusive(self._workshop.parent), storage_errors(self._workshop):
            shutil.rmtree(self._workshop, ignore_errors=True)
            self._workshop.mkdir(parents=True)
            try:
                yield self._workshop
            finally:
                shutil.rmtree(self._workshop, ignore_errors=True)

    @contextmanager
    def _checked_out(self, bundle: str = "") -> Iterator[tuple[Path, dict[str, bytes]]]:
        """A folder with the metadata in force and ``bundle``'s decisions, and what lies in it."""
        if self._objects.find(f"{REPOSITORY}/{_STAMP}") is None:
            raise ConfigError(
                f"{self._objects.place} holds no update repository yet.",
                hint="Make it once: edge-central repository init OFFLINE_FOLDER",
            )
        with self._empty_workshop() as folder:
            try:
                files = self._in_force(bundle)
            except (RepositoryError, KeyError, ValueError) as error:
                raise StorageError(
                    f"The update repository at {self._objects.place} is damaged: {error}.",
                    hint="Restore its objects from a copy.",
                ) from error
            for name, content in files.items():
                write_atomic(folder / name, content)
            self._keys.settle(_key_ids(folder))
            yield folder, files

    def _in_force(self, bundle: str) -> dict[str, bytes]:
        files = {_STAMP: self._read(_STAMP)}
        stamp = Metadata[Timestamp].from_bytes(files[_STAMP]).signed
        name = f"metadata/{stamp.snapshot_meta.version}.snapshot.json"
        files[name] = self._read(name)
        for role, meta in Metadata[Snapshot].from_bytes(files[name]).signed.meta.items():
            name = f"metadata/{meta.version}.{role}"
            files[name] = self._read(name)
            if bundle and role == "releases.json":
                releases = Metadata[Targets].from_bytes(files[name]).signed
                files |= self._decisions(releases, bundle)
        newest = f"metadata/{self._newest_root()}.root.json"
        return files | {newest: self._read(newest)}

    def _decisions(self, releases: Targets, bundle: str) -> dict[str, bytes]:
        folder = release_path(bundle).rpartition("/")[0]
        found = {}
        for path, target in releases.targets.items():
            if path.startswith(f"{folder}/"):
                file = f"{target.hashes['sha256']}.{path.removeprefix(f'{folder}/')}"
                name = f"targets/{folder}/{file}"
                found[name] = self._read(name, _MAX_RELEASE_BYTES)
        return found

    def _newest_root(self) -> int:
        """Roots are numbered without gaps, as a device follows them."""
        version = 1
        while self._objects.find(f"{REPOSITORY}/metadata/{version + 1}.root.json") is not None:
            version += 1
        return version

    def _read(self, name: str, limit: int = _MAX_METADATA_BYTES) -> bytes:
        return self._objects.read(f"{REPOSITORY}/{name}", limit=limit)

    def _bring_back(self, folder: Path, before: dict[str, bytes]) -> None:
        """Put what is new among the objects, in the order in which a reader may follow it."""
        roots = [content for name, content in before.items() if name.endswith(".root.json")]
        verify_repository(folder, roots[0] if roots else _first_root(folder))
        made = [path for path in folder.rglob("*.*") if path.is_file() and path.name != ".lock"]
        names = {path.relative_to(folder).as_posix(): path for path in made}
        for name in sorted(names, key=_place_in_order):
            place, path = f"{REPOSITORY}/{name}", names[name]
            if name.startswith("metadata/"):
                content = path.read_bytes()
                if before.get(name) != content:
                    self._objects.put(place, content)
                continue
            # Its hash is part of its name: one of the same name and size was brought before.
            known = self._objects.find(place)
            if known is None or known.size != path.stat().st_size:
                self._objects.put(place, path)


def _place_in_order(name: str) -> tuple[int, str]:
    """Targets, then what signs them, the root before all that its new keys may sign."""
    if name.startswith("targets/"):
        return 0, name
    file = name.rpartition("/")[2]
    ends = (".root.json", ".components.json", ".releases.json", ".targets.json", ".snapshot.json")
    return next((at for at, end in enumerate(ends, 1) if file.endswith(end)), len(ends) + 1), name


def _first_root(folder: Path) -> bytes:
    return (folder / "metadata" / "1.root.json").read_bytes()


def _root(folder: Path) -> Root:
    (path,) = (folder / "metadata").glob("*.root.json")
    return Metadata[Root].from_bytes(path.read_bytes()).signed


def _key_ids(folder: Path) -> set[str]:
    """The ids of all keys that sign in a repository that was just copied."""
    (path,) = (folder / "metadata").glob("*.targets.json")
    delegations = Metadata[Targets].from_bytes(path.read_bytes()).signed.delegations
    return {*_root(folder).keys, *(delegations.keys if delegations else ())}


def _id_in_root(folder: Path, role: str, name: str, roots: dict[str, Signer]) -> str:
    """The id of the key to replace; of a root key that is lost, the one no file accounts for."""
    ids = _root(folder).roles[role].keyids
    if role != "root":
        return ids[0]
    if name in roots:
        return roots[name].public_key.keyid
    lost = set(ids) - {signer.public_key.keyid for signer in roots.values()}
    if len(lost) != 1:
        raise InputError(
            f"There is no root key '{name}', and {len(lost)} of the repository's are not here.",
            hint="Put all root keys that are left into the folder, and replace the lost one.",
        )
    return lost.pop()
