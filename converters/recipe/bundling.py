"""One bundle for each device profile of a recipe, or the reason why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from converters.bundle import BundleSpec, build_bundle
from converters.evaluate.cards import read_card
from converters.progress import Report
from converters.recipe.cards import portable, with_bars
from converters.recipe.schema import Bundle, Head
from edge_runtime.bundles.card import Bar
from edge_runtime.files import write_atomic

STORE: Final = "store"
_RESULT: Final = "bundles.json"


@dataclass(frozen=True, slots=True)
class Part:
    """A model that can go into bundles: its card and its files."""

    card: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """What a profile got: a manifest in the store, or ``refused`` naming the missed bars."""

    profile: str
    manifest: str = ""
    digest: str = ""
    size: int = 0
    components: int = 0
    refused: tuple[str, ...] = ()


def bundle_all(
    head: Head,
    options: Bundle,
    parts: Mapping[str, Part],
    pack: Path | None,
    bars: Mapping[str, Mapping[str, Bar]],
    out: Path,
    progress: Report,
) -> None:
    """Build each profile's bundle whose cards clear their bars into the store under ``out``, and
    note what became of every profile.

    Raises:
        ModelFileError, OptionError, PackError, StorageError: as :func:`build_bundle` says.
    """
    cards = {name: with_bars(read_card(part.card), bars[name]) for name, part in parts.items()}
    made: list[Made] = []
    for profile, names in options.profiles.items():
        progress(f"bundling for {profile}", len(made) / len(options.profiles))
        missed = [f"{name}: {miss}" for name in names for miss in cards[name].misses()]
        if missed:
            made.append(Made(profile, refused=tuple(missed)))
            continue
        vouching = []
        for name in names:
            path = out / "cards" / f"{name}.card.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, portable(cards[name]).to_json())
            vouching.append(path)
        spec = BundleSpec(
            f"{head.name}-{profile}",
            head.version,
            cards=tuple(vouching),
            components=tuple(file for name in names for file in parts[name].files),
            pack=pack,
            profiles=(profile,),
            licence=options.licence,
        )
        built = build_bundle(spec, out / STORE, progress=progress)
        made.append(
            Made(
                profile,
                built.path.relative_to(out).as_posix(),
                built.digest,
                built.manifest.size,
                len(built.manifest.components),
            )
        )
    write_atomic(out / _RESULT, json.dumps([asdict(item) for item in made], indent=1).encode())


def read_made(out: Path) -> tuple[Made, ...]:
    """What :func:`bundle_all` noted in ``out``."""
    found: list[dict[str, Any]] = json.loads((out / _RESULT).read_bytes())
    return tuple(Made(**{**item, "refused": tuple(item["refused"])}) for item in found)
