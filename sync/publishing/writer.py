"""Publishing a bundle: its files as targets, then the metadata that signs them, timestamp last.

Devices may read while this writes: every file is new under its own name (consistent snapshots), and
the timestamp, which leads to all others, is replaced in one step at the end.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from edge_runtime.bundles.blobs import (
    BlobStore,
    check_file,
    exclusive,
    sha256_of,
    storage_errors,
)
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.errors import ConfigError
from edge_runtime.files import atomic_writer, write_atomic
from sync.publishing.delegations import COMPONENTS, RELEASES, delegations
from sync.publishing.lifetimes import LIFETIMES
from sync.updater.clock import issued_field
from sync.updater.release import (
    LATEST,
    Release,
    component_path,
    delta_path,
    manifest_path,
    release_of,
    release_path,
)


@dataclass(frozen=True, slots=True)
class Signers:
    """The keys that sign day to day. All of ``releases`` must sign a release."""

    snapshot: Signer
    timestamp: Signer
    releases: tuple[Signer, ...]
    components: Signer

    @property
    def delegated(self) -> dict[str, tuple[Signer, ...]]:
        """Who signs for the roles that the targets keys delegate to."""
        return {RELEASES: self.releases, COMPONENTS: (self.components,)}


@dataclass(frozen=True, slots=True)
class Published:
    """A release as devices will find it; ``added`` counts the bytes that were not there before."""

    release: Release
    added: int


class RepositoryWriter:
    """Adds to the repository in ``folder``; one writer at a time, others wait.

    Args:
        folder: made by :func:`~sync.publishing.roots.create_repository`.
        signers: the day-to-day keys.
    """

    def __init__(self, folder: Path, signers: Signers) -> None:
        self.folder = folder
        self._signers = signers

    def begin(self, *, now: datetime | None = None) -> None:
        """Sign the first metadata of a new repository."""
        moment = now or datetime.now(UTC)
        with exclusive(self.folder):
            snapshot = Snapshot()
            for role, signers in self._signers.delegated.items():
                self._sign(role, Targets(), 1, signers, snapshot, moment)
            self._finish(snapshot, 1, 1, moment)

    def publish(
        self,
        manifest: BundleManifest,
        blobs: BlobStore,
        *,
        deltas: Mapping[tuple[str, str], Path] | None = None,
        latest: bool = True,
        now: datetime | None = None,
    ) -> Published:
        """Sign a bundle, whose components are all in ``blobs``, and the decision to run it.

        Publishing a version again is a new decision about it. Components that the repository has
        already are not written again.

        Args:
            deltas: for (base, target) hashes of components, the file that makes one of the other.
            latest: whether devices that were offered no version in particular take this one.
            now: when it is signed; the current time by default.

        Raises:
            ConfigError: the version exists already with other content.
            ModelMissingError, ModelCorruptError: a component is not in ``blobs`` as listed.
            StorageError: the folder cannot be read or written.
        """
        moment = now or datetime.now(UTC)
        with exclusive(self.folder):
            releases, components = self._current(RELEASES), self._current(COMPONENTS)
            release = release_of(manifest, self._next_decision(releases.signed, manifest.name))
            self._refuse_other(releases.signed, manifest)
            added = 0
            for component in manifest.components:
                path = blobs.path(component.sha256)
                label = f"Component '{component.name}'"
                check_file(path, component.size, component.sha256, label=label)
                name = component_path(component.sha256)
                added += self._add_file(components.signed, name, path, component.sha256)
            for (base, target), path in (deltas or {}).items():
                with storage_errors(self.folder):
                    sha256 = sha256_of(path)
                name = delta_path(base, target)
                added += self._add_file(components.signed, name, path, sha256)
                self._offer_delta(components.signed, base, target)
            documents = {
                manifest_path(manifest.name, manifest.version): manifest.to_json(),
                release_path(manifest.name, manifest.version): release.to_json(),
            }
            if latest:
                documents[release_path(manifest.name)] = release.to_json()
            for name, content in documents.items():
                added += self._add(releases.signed, name, content)
            snapshot = self._current("snapshot").signed
            for role, metadata in ((COMPONENTS, components), (RELEASES, releases)):
                self._sign_next(role, metadata.signed, snapshot, moment)
            self._advance(snapshot, moment)
        return Published(release, added)

    def renew(self, *, now: datetime | None = None) -> None:
        """Sign snapshot and timestamp anew, so that they do not expire; at least once a week.

        Releases and components, which every :meth:`publish` signs, are signed anew when half their
        time is over.

        Raises:
            StorageError: the folder cannot be read or written.
        """
        moment = now or datetime.now(UTC)
        with exclusive(self.folder):
            snapshot = self._current("snapshot").signed
            for role in self._signers.delegated:
                signed = self._current(role).signed
                if signed.expires - moment < timedelta(days=LIFETIMES[role] / 2):
                    self._sign_next(role, signed, snapshot, moment)
            self._advance(snapshot, moment)

    def delegate(self, signers: Sequence[Signer], *, now: datetime | None = None) -> None:
        """Delegate to this writer's release and component keys, and to no others, from now on.

        Everything those roles signed is signed anew with them.

        Args:
            signers: the targets keys.

        Raises:
            StorageError: the folder cannot be read or written.
        """
        moment = now or datetime.now(UTC)
        with exclusive(self.folder):
            snapshot = self._current("snapshot").signed
            targets = self._current("targets").signed
            targets.delegations = delegations(self._signers.delegated)
            self._sign("targets", targets, targets.version + 1, signers, snapshot, moment)
            for role in self._signers.delegated:
                self._sign_next(role, self._current(role).signed, snapshot, moment)
            self._advance(snapshot, moment)

    # ---- targets ----

    def _add_file(self, role: Targets, name: str, path: Path, sha256: str) -> int:
        if name in role.targets:
            return 0
        with storage_errors(self.folder):
            size = path.stat().st_size
            with path.open("rb") as file, atomic_writer(self._target(name, sha256)) as out:
                shutil.copyfileobj(file, out)
        role.targets[name] = TargetFile(size, {"sha256": sha256}, name)
        return size

    def _add(self, role: Targets, name: str, content: bytes) -> int:
        target = TargetFile.from_data(name, content, ["sha256"])
        with storage_errors(self.folder):
            write_atomic(self._target(name, target.hashes["sha256"]), content)
        role.targets[name] = target
        return len(content)

    def _offer_delta(self, role: Targets, base: str, target: str) -> None:
        """State, signed, in the component's own entry what it can be made of."""
        component = role.targets[component_path(target)]
        known = dict(component.unrecognized_fields.get("custom", {}))
        size = role.targets[delta_path(base, target)].length
        known["deltas"] = {**known.get("deltas", {}), base: size}
        component.unrecognized_fields["custom"] = known

    def _target(self, name: str, sha256: str) -> Path:
        folder, _, file = name.rpartition("/")
        return self.folder / "targets" / folder / f"{sha256}.{file}"

    def _refuse_other(self, releases: Targets, manifest: BundleManifest) -> None:
        known = releases.targets.get(manifest_path(manifest.name, manifest.version))
        if known is not None and known.hashes["sha256"] != manifest.digest:
            raise ConfigError(
                f"{manifest.name} {manifest.version} was published with other content.",
                hint="Give the new bundle a higher version.",
            )

    def _next_decision(self, releases: Targets, bundle: str) -> int:
        decisions = [0]
        for name, target in releases.targets.items():
            folder, _, file = name.rpartition("/")
            if folder == f"releases/{bundle}" and file != f"{LATEST}.json":
                path = self._target(name, target.hashes["sha256"])
                with storage_errors(self.folder):
                    decisions.append(Release.from_json(path.read_bytes()).decision)
        return max(decisions) + 1

    # ---- metadata ----

    def _current(self, role: str) -> Metadata[Any]:
        """The metadata of a role that the timestamp leads to."""
        snapshot_version = self._timestamp().snapshot_meta.version
        if role == "snapshot":
            return self._load(f"{snapshot_version}.snapshot.json")
        snapshot = self._load(f"{snapshot_version}.snapshot.json").signed
        return self._load(f"{snapshot.meta[f'{role}.json'].version}.{role}.json")

    def _timestamp(self) -> Timestamp:
        timestamp: Timestamp = self._load("timestamp.json").signed
        return timestamp

    def _load(self, name: str) -> Metadata[Any]:
        with storage_errors(self.folder):
            return Metadata.from_bytes((self.folder / "metadata" / name).read_bytes())

    def _sign(
        self,
        role: str,
        signed: Targets,
        version: int,
        signers: Iterable[Signer],
        snapshot: Snapshot,
        moment: datetime,
    ) -> None:
        signed.version = version
        content = self._write(role, Metadata(signed), signers, moment)
        snapshot.meta[f"{role}.json"] = _described(version, content)

    def _sign_next(self, role: str, signed: Targets, snapshot: Snapshot, moment: datetime) -> None:
        signers = self._signers.delegated[role]
        self._sign(role, signed, signed.version + 1, signers, snapshot, moment)

    def _advance(self, snapshot: Snapshot, moment: datetime) -> None:
        self._finish(snapshot, snapshot.version + 1, self._timestamp().version + 1, moment)

    def _finish(self, snapshot: Snapshot, version: int, stamp: int, moment: datetime) -> None:
        snapshot.version = version
        content = self._write("snapshot", Metadata(snapshot), [self._signers.snapshot], moment)
        timestamp = Timestamp(
            version=stamp,
            snapshot_meta=_described(version, content),
            unrecognized_fields=issued_field(moment),
        )
        self._write("timestamp", Metadata(timestamp), [self._signers.timestamp], moment)

    def _write(
        self, role: str, metadata: Metadata[Any], signers: Iterable[Signer], moment: datetime
    ) -> bytes:
        lifetime = timedelta(days=LIFETIMES[role])
        metadata.signed.expires = (moment + lifetime).replace(microsecond=0)
        for signer in signers:
            metadata.sign(signer, append=True)
        content = metadata.to_bytes()
        version = "" if role == "timestamp" else f"{metadata.signed.version}."
        with storage_errors(self.folder):
            write_atomic(self.folder / "metadata" / f"{version}{role}.json", content)
        return content


def _described(version: int, content: bytes) -> MetaFile:
    return MetaFile(version, len(content), {"sha256": hashlib.sha256(content).hexdigest()})
