"""Releases: a bundle with its quality cards, checked, published and made known.

Devices trust the update repository's signatures alone; what is kept here says what may be offered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_runtime.bundles.blobs import BlobStore, check_file, storage_errors
from edge_runtime.bundles.card import QualityCard
from edge_runtime.bundles.documents import MAX_DOCUMENT_BYTES
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.errors import ModelCorruptError, ModelMissingError
from sync.central.errors import ReleaseError
from sync.central.tables import Release
from sync.central.values import plain, utc

REPOSITORY = "repository"
"""Objects below this name are the update repository that devices read."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A bundle that may be released, the store its files lie in, and its cards by name."""

    manifest: BundleManifest
    store: Path
    cards: Mapping[str, QualityCard]


def release_id(name: str, version: str) -> str:
    return f"{name}-{version}"


def prepare(path: Path) -> Prepared:
    """Check a bundle that ``edge-convert bundle`` wrote: ``STORE/bundles/NAME/VERSION.json``.

    Raises:
        ModelMissingError, ModelCorruptError: a file is gone or is not the one in the manifest.
        ReleaseError: the bundle has no quality card, or one misses its bars.
        StorageError: the disk cannot be read.
    """
    with storage_errors(path):
        try:
            if path.stat().st_size > MAX_DOCUMENT_BYTES:
                raise ModelCorruptError(f"{path} is larger than any bundle manifest.")
            manifest = BundleManifest.from_json(path.read_bytes())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ModelMissingError(
                f"{path} is no bundle manifest.",
                hint="Name the file that edge-convert bundle wrote: OUT/bundles/NAME/VERSION.json.",
            ) from None
    if len(path.resolve().parents) < 3:
        raise ModelMissingError(f"{path} does not lie in a bundle store.")
    store = path.resolve().parents[2]
    blobs = BlobStore(store)
    cards: dict[str, QualityCard] = {}
    for component in manifest.components:
        blob = blobs.path(component.sha256)
        check_file(blob, component.size, component.sha256, label=f"File '{component.name}'")
        if component.format == "card":
            cards[component.name] = QualityCard.from_json(blob.read_bytes())
    _require_quality(manifest, cards)
    return Prepared(manifest, store, cards)


def _require_quality(manifest: BundleManifest, cards: Mapping[str, QualityCard]) -> None:
    what = f"{manifest.name} {manifest.version}"
    if not cards:
        raise ReleaseError(
            f"{what} has no quality card.", hint="Bundle it with --card FILE (edge-convert bundle)."
        )
    for name, card in cards.items():
        if misses := card.misses():
            missed = "; ".join(map(str, misses))
            raise ReleaseError(f"{what} is refused, because {name} misses its bars: {missed}.")


def require_same(session: Session, prepared: Prepared) -> Release | None:
    """The release of this name and version, where there is one.

    Raises:
        ReleaseError: it has other content.
    """
    manifest = prepared.manifest
    known = session.get(Release, release_id(manifest.name, manifest.version))
    if known is not None and known.sha256 != manifest.digest:
        raise ReleaseError(
            f"{known.id} was released with other content.",
            hint="Give the new bundle a higher --version.",
        )
    return known


def record(session: Session, prepared: Prepared, target: str, actor: str, now: datetime) -> Release:
    """Make a bundle known whose manifest is published as ``target``.

    Raises:
        ReleaseError: this name and version was released with other content.
    """
    manifest = prepared.manifest
    known = require_same(session, prepared)
    if known is not None:
        return known
    cards = {
        name: {"dataset": card.dataset, "metrics": dict(card.metrics)}
        for name, card in prepared.cards.items()
    }
    release = Release(
        id=release_id(manifest.name, manifest.version),
        name=manifest.name,
        version=manifest.version,
        sha256=manifest.digest,
        size=manifest.size,
        cards=json.dumps(cards, ensure_ascii=False),
        target=target,
        created_at=utc(now),
        created_by=plain(actor, 140),
    )
    session.add(release)
    session.flush()
    return release


def listed(session: Session, *, offset: int, limit: int) -> list[dict[str, Any]]:
    """Releases, newest first."""
    found = session.scalars(
        select(Release).order_by(Release.created_at.desc(), Release.id).offset(offset).limit(limit)
    )
    return [view(release) for release in found]


def view(release: Release) -> dict[str, Any]:
    """A release as the API shows it."""
    shown = ("id", "name", "version", "sha256", "size", "target", "created_at", "created_by")
    return {name: getattr(release, name) for name in shown} | {"cards": json.loads(release.cards)}
