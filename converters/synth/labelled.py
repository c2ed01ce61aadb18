"""All labelled lines of a pack: seeds of every cell, then the cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from converters.errors import OptionError
from converters.progress import Report
from converters.synth.cells import CLEAN_SHARE, Language
from converters.synth.likeness import Exclusion
from converters.synth.lines import Line
from converters.synth.phrases import PhraseBook, languages, phrase_book
from converters.synth.seen import Seen
from converters.synth.settings import SynthSettings
from converters.synth.splitting import split
from edge_runtime.packs import Pack
from edge_runtime.turn import OUT_OF_SCOPE, UNCLEAR

Seeds = Mapping[tuple[str, str], Sequence[Line]]
Reword = Callable[[Seeds, Seen], Seeds]
"""More clean lines for each cell, out of those it has."""

_POOL: Final = 2.5
"""Clean lines to make for each one wanted, so that changes have something to choose from."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The lines, and how many were dropped for which reason."""

    train: list[Line]
    valid: list[Line]
    dropped: Mapping[str, int]
    below_floor: tuple[str, ...]
    """Cells ("language/intent") that hold less than half of what they should."""


def make_labelled(
    pack: Pack,
    settings: SynthSettings,
    exclusion: Exclusion,
    reword: Reword,
    progress: Report,
) -> Labelled:
    """Make the labelled lines of ``pack``.

    Raises:
        OptionError: not a single line could be made.
    """
    codes = settings.check(pack)
    quotas = settings.quotas(pack, codes)
    intents = [*pack.intents, OUT_OF_SCOPE, UNCLEAR]
    seen = Seen()
    makers = {code: Language(pack, _book(code), exclusion, seen, settings.seed) for code in codes}
    seeds: dict[tuple[str, str], list[Line]] = {}
    for number, code in enumerate(codes):
        progress(f"writing {code}", 0.6 * number / len(codes))
        for intent in intents:
            wanted = round(_quota(quotas, code, intent) * CLEAN_SHARE * _POOL)
            seeds[code, intent] = makers[code].seeds(intent, wanted)
    for cell, more in reword(seeds, seen).items():
        seeds[cell] += more
    lines: list[Line] = []
    short: list[str] = []
    for number, code in enumerate(codes):
        progress(f"filling {code}", 0.6 + 0.3 * number / len(codes))
        for intent in intents:
            quota = _quota(quotas, code, intent)
            made = makers[code].fill(intent, seeds[code, intent], quota)
            lines += made
            if len(made) < quota / 2:
                short.append(f"{code}/{intent}")
    if not lines:
        raise OptionError("The pack gives nothing to start from.", hint="Add examples to it.")
    train, valid, close = split(lines, settings.seed)
    dropped = Counter(seen.dropped) + Counter({"too_near_to_training": close})
    return Labelled(train, valid, dict(sorted(dropped.items())), tuple(short))


def _quota(quotas: Mapping[str, tuple[int, int]], code: str, intent: str) -> int:
    return quotas[code][intent == OUT_OF_SCOPE]


def _book(code: str) -> PhraseBook:
    return phrase_book(code) if code in languages() else PhraseBook.empty(code)
