"""Puts together what a device installs at once, if its quality cards allow it.

::

    <out>/blobs/sha256/<hash>             content, once
    <out>/bundles/<name>/<version>.json   the manifest
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from converters.errors import BarsMissedError, ModelFileError, OptionError
from converters.evaluate.cards import read_card
from converters.evaluate.engines import model_digest
from converters.evaluate.nlu import nlu_subject
from converters.formats import file_format, refuse_pickle
from converters.gguf import read_header
from converters.progress import Report, silent
from edge_runtime import __version__
from edge_runtime.bundles.blobs import BlobStore, require_space, sha256_of
from edge_runtime.bundles.card import QualityCard
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.errors import ModelCorruptError, StorageError
from edge_runtime.files import write_atomic
from edge_runtime.packs import load_pack, pack_digest
from edge_runtime.packs.files import PackFolder
from edge_runtime.packs.problems import Problems

_BLOCK: Final = 2**20
NOT_STATED: Final = "not stated"


@dataclass(frozen=True, slots=True)
class BundleSpec:
    """What goes into a bundle, and how it is labelled.

    ``components`` are model files and folders, ``pack`` a domain pack's folder, ``cards`` the
    quality cards of what is bundled, all of which must clear their bars. No ``profiles`` means all;
    no ``languages`` means the pack's. ``licence`` is that of components which do not state their
    own; ``min_runtime`` the oldest edge-runtime version that can run the bundle.
    """

    name: str
    version: str
    cards: tuple[Path, ...]
    components: tuple[Path, ...] = ()
    pack: Path | None = None
    profiles: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    licence: str = NOT_STATED
    min_runtime: str = __version__


@dataclass(frozen=True, slots=True)
class Bundled:
    """A bundle in its store; ``digest`` is the sha256 of the manifest at ``path``."""

    path: Path
    digest: str
    manifest: BundleManifest


@dataclass(frozen=True, slots=True)
class _Source:
    component: Component
    path: Path


def build_bundle(spec: BundleSpec, out: Path, *, progress: Report = silent) -> Bundled:
    """Store every component, the pack and the cards in ``out``, then write the manifest.

    The same input gives the same manifest, byte for byte.

    Raises:
        BarsMissedError: a card misses its bars; names them.
        ModelFileError: a component is a pickle or damaged, or a card measured something else.
        OptionError: no card, names that clash, a field out of bounds, or a version that exists
            with other content.
        PackError: the pack is broken.
        StorageError: the store cannot be written.
    """
    cards = {path: read_card(path) for path in spec.cards}
    _require_cleared(cards)
    progress("reading components", 0.0)
    sources = [source for path in spec.components for source in _components(path, spec.licence)]
    hashes = {source.component.sha256 for source in sources}
    folders = {model_digest(path) for path in spec.components if path.is_dir()}
    subjects, languages = hashes | folders, spec.languages
    if spec.pack is not None:
        pack = load_pack(spec.pack)
        languages = languages or pack.languages
        digest = pack_digest(pack)
        subjects |= {nlu_subject(digest, [encoder]) for encoder in hashes}
        sources += _pack_sources(pack.root, pack.name, spec.licence)
    _require_subjects(cards, subjects)
    sources += [_source(path, f"cards/{path.name}", "card", spec.licence) for path in cards]
    manifest = _manifest(spec, sources, languages)
    target = out / "bundles" / manifest.name / f"{manifest.version}.json"
    _refuse_other(target, manifest)
    _store(out, sources, progress)
    try:
        write_atomic(target, manifest.to_json())
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror}.") from error
    return Bundled(target, manifest.digest, manifest)


def _require_cleared(cards: Mapping[Path, QualityCard]) -> None:
    if not cards:
        raise OptionError(
            "A bundle needs a quality card.", hint="Make one with edge-convert evaluate."
        )
    for path, card in cards.items():
        if not card.bars:
            raise BarsMissedError(
                f"The card {path} sets no bars, so it cannot vouch for anything.",
                misses=(),
                hint="Evaluate again with --bar NAME=LIMIT.",
            )
        if misses := card.misses():
            missed = "; ".join(map(str, misses))
            raise BarsMissedError(
                f"The bundle is refused, because the card {path} misses its bars: {missed}.",
                misses=misses,
                hint="Improve the model; a lower bar is a decision for whoever set it.",
            )


def _require_subjects(cards: Mapping[Path, QualityCard], subjects: set[str]) -> None:
    for path, card in cards.items():
        if card.subject not in subjects:
            raise ModelFileError(
                f"The card {path} measured something that is not in this bundle.",
                hint="Evaluate these very files; a pack's card needs its encoder as a component.",
            )


def _components(path: Path, licence: str) -> Iterator[_Source]:
    """A file, or every file of a folder under the folder's name."""
    if not path.is_dir():
        yield _component(path, path.name, licence)
        return
    for file in sorted(path.rglob("*")):
        if not file.is_dir():
            yield _component(file, f"{path.name}/{file.relative_to(path).as_posix()}", licence)


def _component(path: Path, name: str, licence: str) -> _Source:
    refuse_pickle(path)
    kind = file_format(path)
    if kind == "gguf":
        licence = read_header(path).licence or licence
    return _source(path, name, kind, licence)


def _pack_sources(root: Path, name: str, licence: str) -> Iterator[_Source]:
    problems = Problems()
    folder = PackFolder(root, problems)
    problems.raise_first()
    for file in sorted(folder.names):
        yield _source(folder.path(file), f"pack/{name}/{file}", "pack", licence)


def _source(path: Path, name: str, kind: str, licence: str) -> _Source:
    try:
        size, sha256 = path.stat().st_size, sha256_of(path)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error
    return _Source(Component(name, size, sha256, kind, licence), path)


def _manifest(
    spec: BundleSpec, sources: Sequence[_Source], languages: Sequence[str]
) -> BundleManifest:
    manifest = BundleManifest(
        spec.name,
        spec.version,
        spec.min_runtime,
        tuple(source.component for source in sources),
        tuple(sorted(set(spec.profiles))),
        tuple(sorted(set(languages))),
    )
    try:
        # Read back as a device will: what it would refuse must not be made.
        return BundleManifest.from_json(manifest.to_json())
    except ModelCorruptError as error:
        raise OptionError(f"No manifest can be made: {error.message}") from error


def _refuse_other(target: Path, manifest: BundleManifest) -> None:
    if target.exists() and target.read_bytes() != manifest.to_json():
        raise OptionError(
            f"{manifest.name} {manifest.version} exists already with other content.",
            hint="Give the new bundle a higher --version.",
        )


def _store(out: Path, sources: Sequence[_Source], progress: Report) -> None:
    blobs = BlobStore(out)
    total = max(1, sum(source.component.size for source in sources))
    try:
        out.mkdir(parents=True, exist_ok=True)
        missing = [s for s in sources if not blobs.has(s.component.sha256, s.component.size)]
        require_space(out, sum(source.component.size for source in missing))
        blobs.folder.mkdir(parents=True, exist_ok=True)
        blobs.sweep()
        done = 0
        for source in missing:
            progress("storing", done / total)
            wanted = source.component
            label = f"Component '{wanted.name}'"
            blobs.add(_chunks(source.path), wanted.size, wanted.sha256, label=label)
            done += wanted.size
    except StorageError as error:
        hint = "Free some space, or choose another --out."
        raise StorageError(error.message, hint=hint) from error
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}.") from error


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_BLOCK):
            yield chunk
