"""The labelled lines of one language, a cell for each intent.

A cell begins with clean lines (the pack's examples, phrases, dialect phrases, paraphrases) and is
filled up with what people and recognisers make of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from converters.synth.changes import EMOTIONS, changes_of, unmarked
from converters.synth.fillers import Fillers
from converters.synth.grammar import Phrase
from converters.synth.likeness import Exclusion
from converters.synth.lines import Line, Source
from converters.synth.phrases import PhraseBook, Phrases
from converters.synth.pieces import Piece, Utterance, text_of, tidy
from converters.synth.seen import Seen
from converters.synth.tagging import Tagger
from edge_runtime.packs import Pack
from edge_runtime.turn import OUT_OF_SCOPE, UNCLEAR, Sentiment

CLEAN_SHARE: Final = 0.6
_SHARES: Final[Mapping[str, float]] = {
    "negative": 0.21, "positive": 0.16, "polite": 0.12, "typo": 0.17, "homophone": 0.13,
    "dialect": 0.11, "code_switch": 0.10,
}  # fmt: skip
_SOURCES: Final[Mapping[str, Source]] = {
    "polite": "polite", "typo": "typo", "homophone": "homophone", "dialect": "dialect",
    "code_switch": "code_switch",
}  # fmt: skip
_SHORT: Final = frozenset({"greeting", "goodbye", "thanks", "affirm", "deny", "repeat", UNCLEAR})
_PRAISE: Final = "thanks"
_UNMARKED: Final = 0.55
_CAPITAL: Final = 0.35
_ROUNDS: Final = 12
_ATTEMPTS: Final = 12


class Language:
    """Makes the cells of one language.

    Args:
        pack: the shop.
        book: how its customers talk.
        exclusion: what must not occur.
        seen: what other languages have said already.
        seed: of the run.
    """

    def __init__(
        self, pack: Pack, book: PhraseBook, exclusion: Exclusion, seen: Seen, seed: int
    ) -> None:
        self._pack = pack
        self._book = book
        self._language = book.language
        self._fillers = Fillers(pack, book)
        self._tag = Tagger(book.language, self._fillers.terms())
        self._exclusion = exclusion
        self._seen = seen
        self._seed = seed
        self._changes = changes_of(pack, book)

    def seeds(self, intent: str, wanted: int) -> list[Line]:
        """About ``wanted`` clean lines, none excluded, no two the same: every example of the pack
        and as many ways of saying each phrase as that takes."""
        rng = self._rng(intent, "seeds")
        lines = [*self._examples(intent), *self._written(intent, rng, wanted)]
        hits = self._exclusion.hits([line.text for line in lines])
        self._seen.dropped["excluded"] += sum(hits)
        near: list[str] = []
        return [
            line
            for line, hit in zip(lines, hits, strict=True)
            if not hit
            and not self._seen.near(line.text, near)
            and self._seen.add(line.text, intent)
        ]

    def fill(self, intent: str, seeds: Sequence[Line], quota: int) -> list[Line]:
        """A cell of at most ``quota`` lines: clean ones first, the rest made out of ``seeds``."""
        if not seeds:
            return []
        rng = self._rng(intent, "fill")
        wanted = round(quota * CLEAN_SHARE)
        # What a language model took minutes to write is not left to chance.
        dear = [line for line in seeds if line.source == "paraphrase"][: wanted // 2]
        cheap = [line for line in seeds if line.source != "paraphrase"]
        clean = [*_spread(cheap, wanted - len(dear)), *dear]
        made = list(self._variants(intent, seeds, quota - len(clean), rng))
        rest = [line for line in seeds if line not in clean]
        return [*clean, *made, *rest[: max(0, quota - len(clean) - len(made))]]

    def _rng(self, intent: str, what: str) -> random.Random:
        return random.Random(f"{self._seed}:{self._language}:{intent}:{what}")

    def _examples(self, intent: str) -> Iterator[Line]:
        known = self._pack.intents.get(intent)
        outside = self._pack.out_of_scope if intent == OUT_OF_SCOPE else {}
        given = (known.examples if known else outside).get(self._language, ())
        for number, text in enumerate(given):
            origin = f"pack/{intent}/{self._language}/{number}"
            yield self._line((Piece(text),), intent, "example", origin)
        if intent == _PRAISE:
            praise = self._pack.sentiment.get(self._language, {}).get("positive", ())
            for number, text in enumerate(praise):
                origin = f"pack/sentiment/{self._language}/{number}"
                yield self._line((Piece(text),), intent, "example", origin)

    def _written(self, intent: str, rng: random.Random, wanted: int) -> Iterator[Line]:
        """Lines out of phrases, round after round, each phrase at most as often as it has ways."""
        sources: list[tuple[str, Source, Phrases]] = [
            ("phrases", "template", self._phrases(intent)),
            ("dialects", "dialect", self._book.dialects.get(intent, ())),
        ]
        phrases = [
            (phrase, source, f"{name}/{intent}/{self._language}/{number}")
            for name, source, found in sources
            for number, phrase in enumerate(found)
            if self._fillers.can(phrase)
        ]
        given = 0
        for turn in range(_ROUNDS):
            for phrase, source, origin in phrases:
                if turn < _ways(phrase):
                    given += 1
                    said = _styled(self._fillers.say(phrase, rng), rng)
                    yield self._line(said, intent, source, origin)
            if given >= wanted:
                return

    def _phrases(self, intent: str) -> Phrases:
        if intent == OUT_OF_SCOPE:
            return self._book.out_of_scope
        return self._book.intents.get(intent, ())

    def _line(self, utterance: Utterance, intent: str, source: Source, origin: str) -> Line:
        tagged = self._tag(tidy(utterance))
        felt = self._felt(intent)
        return Line(tagged, intent, felt, self._language, source, origin, self._seed)

    def _felt(self, intent: str) -> Sentiment:
        if intent == _PRAISE:
            return "positive"
        known = self._pack.intents.get(intent)
        return "negative" if known is not None and known.complaint else "neutral"

    def _variants(
        self, intent: str, seeds: Sequence[Line], wanted: int, rng: random.Random
    ) -> Iterator[Line]:
        """At most ``wanted`` reworded lines, the kinds of change in their shares."""
        kinds = [kind for kind in _SHARES if self._suits(kind, intent)]
        total = sum(_SHARES[kind] for kind in kinds)
        given = 0
        for kind in kinds:
            share = round(wanted * _SHARES[kind] / total)
            for line in self._of_kind(kind, intent, seeds, min(share, wanted - given), rng):
                given += 1
                yield line

    def _suits(self, kind: str, intent: str) -> bool:
        if kind not in self._changes:
            return False
        felt = self._felt(intent)
        if kind in EMOTIONS:
            return intent not in _SHORT and felt in ("neutral", EMOTIONS[kind])
        return kind != "polite" or intent not in _SHORT

    def _of_kind(
        self, kind: str, intent: str, seeds: Sequence[Line], wanted: int, rng: random.Random
    ) -> Iterator[Line]:
        change = self._changes[kind]
        order = rng.sample(seeds, len(seeds))
        given = 0
        for attempt in range(min(_ATTEMPTS * wanted, 8 * len(order))):
            if given == wanted:
                return
            line = order[attempt % len(order)]
            made = change(line.utterance, rng)
            if made is None or self._exclusion.hits([text_of(made)])[0]:
                continue
            if not self._seen.add(text_of(made), intent):
                continue
            given += 1
            yield self._labelled(line, made, kind)

    def _labelled(self, line: Line, made: Utterance, kind: str) -> Line:
        if kind not in EMOTIONS:
            return line.changed(made, _SOURCES[kind])
        return replace(line.changed(made, "emotion"), sentiment=EMOTIONS[kind])


def _styled(utterance: Utterance, rng: random.Random) -> Utterance:
    """As some people type: without the end mark, or with a capital letter."""
    if rng.random() < _UNMARKED:
        utterance = unmarked(utterance)
    if utterance and not utterance[0].entity and rng.random() < _CAPITAL:
        first = utterance[0].text
        utterance = (Piece(first[0].upper() + first[1:]), *utterance[1:])
    return utterance


def _ways(phrase: Phrase) -> int:
    """How often a phrase is worth saying: with a gap, some fillers each."""
    return phrase.count * 4 if phrase.gaps else phrase.count


def _spread(seeds: Sequence[Line], count: int) -> list[Line]:
    """At most ``count`` of the seeds, taken evenly from all kinds of source."""
    if len(seeds) <= count:
        return list(seeds)
    return [seeds[place * len(seeds) // count] for place in range(count)]
