"""The cards of a recipe's models, held against the recipe's bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from converters.evaluate.cards import read_card, write_card
from converters.evaluate.machine import machine_name
from converters.recipe.contradictions import MEASURED_HERE
from edge_runtime.bundles.card import Bar, Miss, QualityCard


@dataclass(frozen=True, slots=True)
class Verdict:
    """A card with the recipe's bars, as written to ``path`` with a page beside it."""

    name: str
    path: Path
    card: QualityCard
    misses: tuple[Miss, ...]

    @property
    def cleared(self) -> bool:
        return bool(self.card.bars) and not self.misses


def judge(
    measured: Mapping[str, Path], bars: Mapping[str, Mapping[str, Bar]], folder: Path
) -> tuple[Verdict, ...]:
    """Give each measured card its bars and write it into ``folder``.

    Raises:
        ModelFileError, ModelCorruptError: a card cannot be read.
        StorageError: the folder cannot be written.
    """
    verdicts = []
    for name, source in measured.items():
        card = with_bars(read_card(source), bars.get(name, {}))
        path = folder / f"{name}.card.json"
        facts = {"machine": machine_name()}
        write_card(card, path, title=f"Quality of {name}", facts=facts, plots=True)
        verdicts.append(Verdict(name, path, card, card.misses()))
    return tuple(verdicts)


def with_bars(card: QualityCard, bars: Mapping[str, Bar]) -> QualityCard:
    """``card`` held against ``bars``, too."""
    return replace(card, bars={**card.bars, **bars})


def portable(card: QualityCard) -> QualityCard:
    """What of ``card`` any machine would find again: it travels with the bundle, so that the same
    input gives the same bundle; bars on the rest have been judged where it was measured."""
    return replace(
        card,
        metrics={name: v for name, v in card.metrics.items() if not _here(name)},
        bars={name: bar for name, bar in card.bars.items() if not _here(name)},
    )


def _here(name: str) -> bool:
    return name.partition(".")[0] in MEASURED_HERE
