"""Getting models onto the device: fetch, verify, join, store; killed at any step, it resumes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edge_runtime.bundles.archives import ArchiveSet, Member, read_members
from edge_runtime.bundles.blobs import SHA256, require_space, storage_errors
from edge_runtime.bundles.catalogue import Archive, ModelEntry, ModelFile, Source, Variant
from edge_runtime.bundles.folder import Folder
from edge_runtime.bundles.progress import ProgressSink, Silent
from edge_runtime.bundles.sources import cached, fetch, sweep
from edge_runtime.bundles.store import Installed, ModelStore
from edge_runtime.errors import ConfigError, FetchError, ModelCorruptError, ModelError

_BLOCK = 2**20
_MAX_UNPACK_RATIO = 20


@dataclass(frozen=True, slots=True)
class Pulled:
    """One model after a pull: freshly installed, or found complete; ``size`` in bytes."""

    id: str
    status: Literal["installed", "present"]
    source: str
    size: int
    folder: Path


def pull(
    store: ModelStore,
    model_ids: Iterable[str],
    *,
    from_dir: Path | None = None,
    progress: ProgressSink | None = None,
    pins: Mapping[str, str] | None = None,
) -> tuple[Pulled, ...]:
    """Make sure that the models are installed and intact, fetching only what is missing.

    Args:
        from_dir: a folder or USB stick to take everything from, instead of the network.
        pins: model id to the sha256 of its archive, for models that the catalogue cannot pin.

    Raises:
        ConfigError: no such model, or one that needs a pin and has none.
        FetchError: no source could deliver a model.
        ModelCorruptError: what the only source delivered is wrong.
        StorageError: the disk is full or read-only.
    """
    progress = progress or Silent()
    entries = [_ready(store, model_id, pins or {}) for model_id in dict.fromkeys(model_ids)]
    present = {entry.id: found for entry in entries if (found := _intact(store, entry.id))}
    if len(present) < len(entries):
        folder = _open_folder(from_dir) if from_dir else None
        with store.locked(waiting=lambda: progress.note("Waiting for another pull to finish.")):
            # Whoever held the lock may have brought the very same models.
            store.blobs.sweep()
            sweep(store.incoming)
            missing = [e for e in entries if e.id not in present and not _intact(store, e.id)]
            _check_space(store, missing, fetching=folder is None)
            for entry in missing:
                _pull_one(store, entry, folder, progress)
    return tuple(_outcome(store.get(entry.id), entry.id in present) for entry in entries)


def _outcome(model: Installed, was_present: bool) -> Pulled:
    status: Literal["installed", "present"] = "present" if was_present else "installed"
    return Pulled(model.id, status, model.source, model.size, model.folder)


def _intact(store: ModelStore, model_id: str) -> bool:
    try:
        store.directory(model_id)
    except ModelError:
        return False
    return True


def _ready(store: ModelStore, model_id: str, pins: Mapping[str, str]) -> ModelEntry:
    """The entry with the operator's pin filled in where the catalogue has none."""
    entry = store.catalogue.entry(model_id)
    if entry.install:
        raise ConfigError(
            f"{model_id} is not fetched: it comes with the system or a library.",
            hint=f"Install it with: {entry.install}",
        )
    if entry.pinned or _intact(store, model_id):
        return entry
    pin = pins.get(model_id, "")
    if not SHA256.fullmatch(pin):
        file = entry.variants[0].sources[0].archives[0].file
        raise ConfigError(
            f"Model {model_id} is refused: its publisher states no sha256 for {file}.",
            hint=f"If you know the right one: edge-runtime models pull {model_id} "
            f"--sha256 {model_id}=<hash>",
        )
    return replace(entry, variants=tuple(_with_pin(v, pin) for v in entry.variants))


def _with_pin(variant: Variant, pin: str) -> Variant:
    sources = tuple(
        replace(source, archives=tuple(replace(a, sha256=pin) for a in source.archives))
        for source in variant.sources
    )
    return replace(variant, sources=sources)


def _check_space(store: ModelStore, missing: list[ModelEntry], *, fetching: bool) -> None:
    """All finished files, and the archives of the largest model, which exist for its turn only."""
    with storage_errors(store.root):
        store.incoming.mkdir(parents=True, exist_ok=True)
    files, archives = 0, 0
    for entry in missing:
        variant = entry.variants[0]
        to_fetch = [
            archive.max_size
            for archive in variant.sources[0].archives
            if not cached(archive, store.incoming).exists()
        ]
        files += sum(f.size for f in variant.files if not store.blobs.path(f.sha256).exists())
        files += 0 if variant.files else sum(to_fetch)
        archives = max(archives, sum(to_fetch) if fetching else 0)
    require_space(store.root, files + archives)


def _pull_one(
    store: ModelStore, entry: ModelEntry, folder: Folder | None, progress: ProgressSink
) -> None:
    if any(_commit_if_complete(store, entry, v, folder, progress) for v in entry.variants):
        return
    failures: list[tuple[Source, ModelError | FetchError]] = []
    for variant in entry.variants:
        for source in variant.sources:
            if failures:
                progress.note(f"{failures[-1][1].message} Trying {source.name}.")
            try:
                _install(store, entry, variant, source, folder, progress)
            except (FetchError, ModelCorruptError) as error:
                failures.append((source, error))
            else:
                _forget_archives(store, entry)
                return
    raise _summary(entry, failures)


def _open_folder(path: Path) -> Folder:
    with storage_errors(path):
        return Folder(path)


def _forget_archives(store: ModelStore, entry: ModelEntry) -> None:
    """Delete downloads that are no longer needed, those of a source given up half way too."""
    with storage_errors(store.incoming):
        for variant in entry.variants:
            for archive in (a for source in variant.sources for a in source.archives):
                path = cached(archive, store.incoming)
                path.unlink(missing_ok=True)
                path.with_name(f"{path.name}.part").unlink(missing_ok=True)


def _summary(
    entry: ModelEntry, failures: list[tuple[Source, ModelError | FetchError]]
) -> ModelError | FetchError:
    if len(failures) == 1:
        error = failures[0][1]
        return type(error)(f"Model {entry.id}: {error.message}", hint=error.hint)
    reasons = "; ".join(f"{source.name}: {error.message.rstrip('.')}" for source, error in failures)
    hint = next((error.hint for _, error in failures if error.hint), "")
    return FetchError(f"No source could deliver model {entry.id}: {reasons}.", hint=hint)


def _commit_if_complete(
    store: ModelStore,
    entry: ModelEntry,
    variant: Variant,
    folder: Folder | None,
    progress: ProgressSink,
) -> bool:
    """Finish a model whose files are all here, from a killed pull or ready in the folder."""
    found: dict[ModelFile, Path | None] = {}
    for file in variant.files:
        here = None if folder is None else folder.file(file)
        if here is None and not store.blobs.has(file.sha256, file.size):
            return False
        found[file] = here
    if not found:
        return False
    with _joining(entry, variant.files, progress):
        for file, path in found.items():
            if path is not None and not store.blobs.has(file.sha256, file.size):
                _store_file(store, entry, file, _blocks(path), progress)
    source = str(folder.root) if folder else "files already here"
    store.commit(entry, variant.name, source, variant.files)
    return True


def _install(
    store: ModelStore,
    entry: ModelEntry,
    variant: Variant,
    source: Source,
    folder: Folder | None,
    progress: ProgressSink,
) -> None:
    if folder is None:
        paths = [fetch(archive, store.incoming, progress) for archive in source.archives]
    else:
        paths = _from_folder(folder, source.archives)
    with ArchiveSet(store.incoming) as archives:
        for archive, path in zip(source.archives, paths, strict=True):
            archives.add(path, archive.file)
        files = variant.files or _list_files(archives, source)
        with _joining(entry, files, progress):
            for file in files:
                if store.blobs.has(file.sha256, file.size):
                    progress.advance(file.size)
                else:
                    _store_file(store, entry, file, _read(archives, source, file), progress)
    store.commit(entry, variant.name, source.name, files)


def _from_folder(folder: Folder, archives: tuple[Archive, ...]) -> list[Path]:
    found = [(archive, folder.archive(archive)) for archive in archives]
    absent = [archive.file for archive, path in found if path is None]
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise FetchError(
            f"{', '.join(absent[:3])}{more} missing in {folder.root}.",
            hint="Copy it there, or pull without --from to use the network.",
        )
    return [path for _, path in found if path is not None]


def _store_file(
    store: ModelStore,
    entry: ModelEntry,
    file: ModelFile,
    blocks: Iterator[bytes],
    progress: ProgressSink,
) -> None:
    label = f"{entry.id}: {file.name}"
    store.blobs.add(blocks, file.size, file.sha256, label=label, advance=progress.advance)


def _read(archives: ArchiveSet, source: Source, file: ModelFile) -> Iterator[bytes]:
    label = f"'{file.name}' from {source.name}"
    members = archives.matching(source.member_pattern(file.name))
    if not members:
        raise ModelCorruptError(f"{label} is wrong: no archive holds it.")
    return read_members(members, limit=file.size, label=label)


@contextmanager
def _joining(
    entry: ModelEntry, files: tuple[ModelFile, ...], progress: ProgressSink
) -> Iterator[None]:
    progress.start(f"{entry.id}: joining and checking", sum(file.size for file in files))
    try:
        yield
    finally:
        progress.finish()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def _list_files(archives: ArchiveSet, source: Source) -> tuple[ModelFile, ...]:
    """What an archive pinned by the operator holds, hashed so that later loads can be checked."""
    prefix = source.members["/"]
    limit = source.archives[0].max_size * _MAX_UNPACK_RATIO
    members = [m for name, m in sorted(archives.members.items()) if name.startswith(prefix)]
    if not members:
        raise ModelCorruptError(f"{source.archives[0].file} is wrong: it holds no {prefix} folder.")
    if sum(member.size for member in members) > limit:
        raise ModelCorruptError(f"{source.archives[0].file} is refused: it unpacks to too much.")
    return tuple(_hashed(member, prefix) for member in members)


def _hashed(member: Member, prefix: str) -> ModelFile:
    digest, size = hashlib.sha256(), 0
    for block in read_members([member], limit=member.size, label=member.name):
        digest.update(block)
        size += len(block)
    return ModelFile(member.name.removeprefix(prefix), size, digest.hexdigest())
