"""One update, from the signed decision to a bundle on trial: verify, fetch, fill, try, switch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from tuf.api.metadata import TargetFile

from edge_runtime import __version__
from edge_runtime.bundles.blobs import exclusive, require_space
from edge_runtime.bundles.documents import MAX_DOCUMENT_BYTES, canonical_json
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.bundles.slotstate import SlotName
from edge_runtime.bundles.trying import COMMAND, try_bundle
from edge_runtime.errors import ModelCorruptError, ModelError, ModelMissingError
from sync.delta import DeltaError, apply_delta
from sync.errors import SyncError, UpdateRefusedError
from sync.updater.home import RELEASE_NOTE, TRIAL_NOTE, UpdateHome
from sync.updater.release import (
    LATEST,
    Release,
    component_path,
    delta_path,
    manifest_path,
    release_path,
)
from sync.updater.repository import Repository

_BLOCK = 2**20
_MAX_RELEASE_BYTES = 4096
_DELTA_FAILURES = (DeltaError, ModelCorruptError, UpdateRefusedError, SyncError)
"""Whatever is wrong with a delta, the whole file is still there to be fetched."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What an update did.

    ``status`` is "installed" (now on trial) or "present" (already running by this decision).
    ``reused``, ``patched`` and ``fetched`` count components taken from this device, made from an
    older one, and fetched whole; ``peak_mb`` is what the bundle took when it was tried.
    """

    status: Literal["installed", "present"]
    release: Release
    reused: int = 0
    patched: int = 0
    fetched: int = 0
    peak_mb: int = 0


def install(
    home: UpdateHome,
    repository: Repository,
    bundle: str,
    *,
    version: str = LATEST,
    accept: Callable[[Release], None] = lambda release: None,
    last_turn: int = 0,
    command: Sequence[str] = COMMAND,
    report: Callable[[str], None] = lambda text: None,
) -> Installed:
    """Bring this device to the release of ``bundle`` that the repository has decided on.

    Killed at any step, the running bundle goes on, and the next call continues.

    Args:
        home: the device.
        repository: where the update comes from; refreshed here.
        bundle: the bundle's name.
        version: the version this device was offered; by default the newest.
        accept: told of the release before anything of it is brought; refuses it by raising.
        last_turn: the journal's newest turn: the trial counts those after it.
        command: the child that tries the bundle.
        report: told what is being done.

    Raises:
        UpdateRefusedError: not signed as it must be, older than what runs, taken back here before,
            or not for this device.
        SyncError: it cannot be fetched.
        ModelError: it was tried and does not work here, or another bundle is on trial.
        StorageError: the disk is full or read-only.
    """
    with exclusive(home.folder):
        repository.refresh()
        release = _decision(repository, bundle, version)
        running = home.running
        if release != running:
            if running is not None and running.bundle == bundle:
                _refuse_older(release, running)
            home.refuse_rejected(release)
        accept(release)
        if release == running:
            return Installed("present", release)
        wanted = _manifest(repository, release)
        _refuse_misfit(wanted, home.settings.profile)
        with exclusive(home.blobs.root):
            done = _bring(home, repository, wanted, report)
            trial = {"since_turn": last_turn, "since": datetime.now(UTC).isoformat()}
            replaced = _components(home, home.slots.inactive)
            notes = {RELEASE_NOTE: release.to_json(), TRIAL_NOTE: canonical_json(trial)}
            slot = home.slots.fill(wanted, notes)
            report("trying the new bundle")
            tried = try_bundle(
                home.slots.root / slot,
                profile=home.settings.profile,
                memory_mb=home.settings.engines.memory_mb,
                command=command,
            )
            home.slots.activate()
            _discard(home, replaced)
        home.clear_incoming()
        return Installed("installed", release, *done, tried.peak_mb)


def _decision(repository: Repository, bundle: str, version: str) -> Release:
    with _refusing():
        release = Release.from_json(
            repository.read(release_path(bundle, version), _MAX_RELEASE_BYTES)
        )
    if release.bundle != bundle or version not in {LATEST, release.version}:
        raise UpdateRefusedError(f"The release of {bundle} {version} is about something else.")
    return release


def _refuse_older(release: Release, running: Release) -> None:
    if release.decision <= running.decision:
        raise UpdateRefusedError(
            f"{release.bundle} {release.version} is refused: it was decided before "
            f"{running.version}, which runs.",
            hint="Going back to an older version takes a new release decision.",
        )


def _manifest(repository: Repository, release: Release) -> BundleManifest:
    path = manifest_path(release.bundle, release.version)
    with _refusing():
        manifest = BundleManifest.from_json(repository.read(path, MAX_DOCUMENT_BYTES))
    if manifest.digest != release.manifest:
        raise UpdateRefusedError(f"{path} is not the manifest that was decided on.")
    return manifest


def _refuse_misfit(manifest: BundleManifest, profile: str) -> None:
    if not manifest.runs_on(__version__):
        raise UpdateRefusedError(
            f"{manifest.name} {manifest.version} needs edge-runtime {manifest.min_runtime}; "
            f"this is {__version__}.",
            hint="Update edge-runtime first.",
        )
    if manifest.profiles and profile not in manifest.profiles:
        raise UpdateRefusedError(
            f"{manifest.name} {manifest.version} is for {', '.join(manifest.profiles)}; "
            f"this device is {profile}."
        )


def _bring(
    home: UpdateHome,
    repository: Repository,
    manifest: BundleManifest,
    report: Callable[[str], None],
) -> tuple[int, int, int]:
    """Every component into the store; how many were here, patched and fetched whole."""
    home.blobs.sweep()
    wanted = {component.sha256: component for component in manifest.components}
    missing = [c for c in wanted.values() if not home.blobs.has(c.sha256, c.size)]
    # The largest lies here twice while it is copied out of its download.
    sizes = [component.size for component in missing]
    require_space(home.blobs.root, sum(sizes) + max(sizes, default=0))
    patched = 0
    for component in missing:
        target = _target(repository, component)
        if _patch(home, repository, component, target):
            report(f"made {component.name} from an older one")
            patched += 1
            continue
        report(f"fetching {component.name} ({component.size / 1e6:.1f} MB)")
        with repository.opened(target) as file:
            _store(home, component, _blocks(file))
    return len(wanted) - len(missing), patched, len(missing) - patched


def _target(repository: Repository, component: Component) -> TargetFile:
    target = repository.require(component_path(component.sha256), component.size)
    if target.length != component.size or target.hashes.get("sha256") != component.sha256:
        raise UpdateRefusedError(f"'{component.name}' is signed as another file than the bundle's.")
    return target


def _components(home: UpdateHome, slot: SlotName) -> set[str]:
    try:
        return {component.sha256 for component in home.slots.manifest(slot).components}
    except ModelError:
        return set()


def _discard(home: UpdateHome, hashes: set[str]) -> None:
    """Free what the slot that was filled held before, where nothing else has a name for it."""
    for sha256 in hashes:
        path = home.blobs.path(sha256)
        if path.is_file() and path.stat().st_nlink == 1:
            home.blobs.discard(sha256)


def _patch(
    home: UpdateHome, repository: Repository, component: Component, target: TargetFile
) -> bool:
    """Make a component out of one that is here; ``False`` where the whole file must be fetched."""
    for base in _bases(target):
        path = home.blobs.path(base)
        if not path.is_file() or not home.blobs.has(base, path.stat().st_size):
            continue
        delta = repository.find(delta_path(base, component.sha256))
        if delta is None or delta.length >= component.size:
            continue
        with contextlib.suppress(*_DELTA_FAILURES), repository.opened(delta) as file:
            _store(home, component, apply_delta(path, file, component.size))
            return True
    return False


def _bases(target: TargetFile) -> list[str]:
    """Hashes that the component can be made from, smallest delta first; signed with the target."""
    custom = target.unrecognized_fields.get("custom")
    offered = custom.get("deltas") if isinstance(custom, dict) else None
    if not isinstance(offered, dict):
        return []
    sound = {b: n for b, n in offered.items() if _is_sha256(b) and isinstance(n, int)}
    return sorted(sound, key=lambda base: sound[base])[:8]


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _store(home: UpdateHome, component: Component, chunks: Iterator[bytes]) -> Path:
    """The signed hash of the whole file is checked here, whichever way its bytes came."""
    label = f"'{component.name}'"
    return home.blobs.add(chunks, component.size, component.sha256, label=label)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """A signed document that is nonsense is a refused update, not a damaged model."""
    try:
        yield
    except (ModelCorruptError, ModelMissingError) as error:
        raise UpdateRefusedError(error.message, hint=error.hint) from error
