"""Questions for the language model, each with the passages it is shown and the one that answers.

Questions are those that the pack lists under its passages, phrases about products and categories
of goods, and questions that the passages shown do not answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from rapidfuzz import fuzz

from converters.synth.changes import EMOTIONS, changes_of
from converters.synth.fillers import Fillers
from converters.synth.grammar import Gap, Phrase, parse, say
from converters.synth.phrases import PhraseBook
from converters.synth.pieces import Piece, text_of, tidy
from edge_runtime.generation.quote import sentences
from edge_runtime.packs import Pack
from edge_runtime.turn import Passage, Sentiment

Kind = Literal["passage", "product", "detail", "category", "insistence", "unknown"]

_SECOND_SHARE: Final = 0.35
_SWAPPED_SHARE: Final = 0.3
_CHANGED_SHARE: Final = 0.8
_UNKNOWN_SHARE: Final = 0.2
_OUTSIDE_SHARE: Final = 0.15
_WAYS: Final = 4
_PRODUCT_WAYS: Final = 8
_KNOWN_WAYS: Final = 2
_UNKNOWN_DETAILS: Final = 4
_TRIES: Final = 12
_RELATED: Final = 65.0
"""Likeness, 0 to 100, of a question to what a passage is about, from which it may answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the passages it is asked over; ``answer`` is ``None`` where they do not say.

    ``mood`` is how the customer sounds, ``origin`` the passage that the question came from;
    ``change`` how it was reworded, or empty.
    """

    question: str
    passages: tuple[Passage, ...]
    answer: Passage | None
    kind: Kind
    origin: str
    mood: Sentiment = "neutral"
    change: str = ""


class Asking:
    """Asks over the passages of one language.

    Args:
        pack: the shop.
        book: how its customers talk.
        passages: of the book's language; nothing else is ever shown.
        seed: of the run and the part of the data.
    """

    def __init__(
        self, pack: Pack, book: PhraseBook, passages: Sequence[Passage], seed: str
    ) -> None:
        self._pack = pack
        self._book = book
        self._passages = passages
        self._by_id = {passage.id: passage for passage in passages}
        self._fillers = Fillers(pack, book)
        self._changes = changes_of(pack, book)
        self._rng = random.Random(f"{seed}:{book.language}:asking")

    def all(self) -> list[Asked]:
        """Every question, and beside most of them one reworded."""
        clean = [*self._listed(), *self._about_products(), *self._about_goods(), *self._insisting()]
        clean += self._unanswered(clean, round(len(clean) * _UNKNOWN_SHARE))
        return [either for asked in clean for either in (asked, *self._reworded(asked))]

    def goods_of(self, asked: Asked) -> str:
        """The category of goods whose rule answers, or empty."""
        rules = self._pack.policies
        found = [r.category for r in rules if asked.answer and r.passage == asked.answer.id]
        return found[0] if found else ""

    def follow_up(self, category: str) -> str:
        """A short question that goes on to goods of ``category``."""
        return self._said("follow", category)

    def _listed(self) -> Iterator[Asked]:
        for passage in self._passages:
            for question in passage.questions:
                yield self._about(question, passage, "passage")

    def _about_products(self) -> Iterator[Asked]:
        details: dict[Phrase, list[str]] = {}
        for question, word in self._book.details:
            details.setdefault(parse(question), []).append(word)
        general = self._book.replies.get("ask_product", ())
        for passage in self._passages:
            if passage.kind != "product" or passage.questions:
                continue
            names = self._names(passage)
            for _ in range(_PRODUCT_WAYS if general else 0):
                said = self._naming(self._rng.choice(general), names)
                yield self._about(said, passage, "product")
            yield from self._details(passage, names, details)

    def _details(
        self, passage: Passage, names: Sequence[str], details: Mapping[Phrase, Sequence[str]]
    ) -> Iterator[Asked]:
        """What its description answers, and fewer questions that it does not."""
        described = " ".join(sentences(passage.text)).removeprefix(passage.title).casefold()
        known: list[Phrase] = []
        unknown: list[Phrase] = []
        for phrase, words in details.items():
            told = any(word.casefold() in described for word in words)
            (known if told else unknown).append(phrase)
        for phrase in known * _KNOWN_WAYS:
            yield self._about(self._naming(phrase, names), passage, "detail")
        for phrase in self._rng.sample(unknown, min(_UNKNOWN_DETAILS, len(unknown))):
            asked = self._about(self._naming(phrase, names), passage, "unknown")
            yield replace(asked, answer=None)

    def _names(self, passage: Passage) -> Sequence[str]:
        """What a product is called, on its label and by customers."""
        number = passage.id.partition("#")[2]
        found = [
            term.text
            for term in self._pack.lexicon.terms
            if term.value == number and term.language == passage.language
        ]
        return found or [passage.title]

    def _naming(self, phrase: Phrase, names: Sequence[str]) -> str:
        name = self._rng.choice(names)
        parts = say(phrase, self._rng)
        return "".join(name if isinstance(part, Gap) else part for part in parts)

    def _about_goods(self) -> Iterator[Asked]:
        for rule in self._pack.policies:
            passage = self._by_id.get(rule.passage)
            name = f"ask_{rule.topic}"
            if passage is None or name not in self._book.replies:
                continue
            if self._fillers.sells(rule.category):
                for _ in range(2 * _WAYS):
                    yield self._about(self._said(name, rule.category), passage, "category")

    def _insisting(self) -> Iterator[Asked]:
        refusals = tuple(phrase.source for phrase in self._book.replies.get("declines", ()))
        for rule in self._pack.policies:
            passage = self._by_id.get(rule.passage)
            if passage is None or not refusals or not passage.text.startswith(refusals):
                continue
            if "insist" in self._book.replies and self._fillers.sells(rule.category):
                for _ in range(_WAYS):
                    said = self._said("insist", rule.category)
                    yield self._about(said, passage, "insistence")

    def _unanswered(self, answered: Sequence[Asked], count: int) -> Iterator[Asked]:
        """Questions over passages that have nothing to do with them."""
        outside = self._book.out_of_scope
        for _ in range(count):
            if outside and self._rng.random() < _OUTSIDE_SHARE:
                said = self._fillers.say(self._rng.choice(outside), self._rng)
                passage = self._rng.choice(self._passages)
                yield Asked(text_of(said), self._shown(passage), None, "unknown", passage.id)
                continue
            asked = self._rng.choice(answered)
            for _ in range(_TRIES):
                passage = self._rng.choice(self._passages)
                if asked.answer and _unrelated(asked.question, asked.answer, passage):
                    yield Asked(asked.question, (passage,), None, "unknown", asked.origin)
                    break

    def _reworded(self, asked: Asked) -> Iterator[Asked]:
        if not self._changes or self._rng.random() > _CHANGED_SHARE:
            return
        kind = self._rng.choice(sorted(self._changes))
        made = self._changes[kind](tidy([Piece(asked.question)]), self._rng)
        if made is not None:
            mood = EMOTIONS.get(kind, asked.mood)
            yield replace(asked, question=text_of(made), mood=mood, change=kind)

    def _about(self, question: str, passage: Passage, kind: Kind) -> Asked:
        return Asked(question, self._shown(passage), passage, kind, passage.id)

    def _shown(self, passage: Passage) -> tuple[Passage, ...]:
        """``passage``, sometimes with another of its topic, as retrieval finds them."""
        others = [p for p in self._passages if p.topic == passage.topic and p != passage]
        if not others or self._rng.random() > _SECOND_SHARE:
            return (passage,)
        second = self._rng.choice(others)
        if self._rng.random() < _SWAPPED_SHARE:
            return (second, passage)
        return (passage, second)

    def _said(self, name: str, category: str) -> str:
        phrase = self._rng.choice(self._book.replies[name])
        return text_of(self._fillers.say(phrase, self._rng, category))


def _unrelated(question: str, answer: Passage, shown: Passage) -> bool:
    if shown.topic == answer.topic:
        return False
    about = [shown.title, shown.text, *shown.questions]
    return max(fuzz.partial_ratio(question, text) for text in about) < _RELATED
