"""Colloquial and dialect forms: the tables that the device reads towards the standard language,
read the other way."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from converters.synth.noise import Change, replacement
from converters.synth.phrases import Pairs
from converters.synth.pieces import Utterance
from edge_runtime.packs import Pack

_CHINESE: Final = "zh"
_MOST: Final = 4
# Words that the dialects write otherwise only in some of their meanings.
_AMBIGUOUS: Final = frozenset("了个点到好要的在是说人家里上下头多几没去")


def colloquial(pack: Pack, language: str) -> list[Change]:
    """Ways of making an utterance sound as people talk: the pack's own words for things, and each
    dialect of the device's table."""
    changes: list[Change] = []
    own = tuple(
        (standard, said)
        for said, standard in pack.lexicon.colloquial.get(language, ())
        if said != standard
    )
    if own:
        changes.append(replacement(own))
    if language == _CHINESE:
        changes += [replacement(pairs, at_most=_MOST) for pairs in _dialects().values()]
    return changes


def any_of(changes: list[Change]) -> Change:
    """The first of ``changes``, in random order, that applies."""

    def change(utterance: Utterance, rng: random.Random) -> Utterance | None:
        for one in rng.sample(changes, len(changes)):
            made = one(utterance, rng)
            if made is not None:
                return made
        return None

    return change


@cache
def _dialects() -> Mapping[str, Pairs]:
    table = files("edge_runtime.nlu") / "data" / "dialects.tsv"
    found: dict[str, list[tuple[str, str]]] = {}
    for line in table.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            dialect, condition, written, standard = line.split("\t")
            if condition == "any" and standard and standard not in _AMBIGUOUS:
                found.setdefault(dialect, []).append((standard, written))
    return {name: tuple(pairs) for name, pairs in found.items() if len(pairs) > 1}
