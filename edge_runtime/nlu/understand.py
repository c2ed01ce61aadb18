"""From an utterance to what it means: the whole room in one call."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Self

from edge_runtime.nlu import intents, sentiment
from edge_runtime.nlu.base import Embedder, Progress
from edge_runtime.nlu.entities import EntityExtractor
from edge_runtime.nlu.language import detect_language
from edge_runtime.nlu.normalize import Normalizer, clean
from edge_runtime.packs.schema import Pack
from edge_runtime.turn import Entity, Understanding

_CODES: Final = frozenset({"order_id", "phone", "email", "url", "postcode"})
_ORDER_WORD = re.compile(
    r"订单|单号|\border|\bpedido|bestell|commande|注文|주문|заказ", re.IGNORECASE
)
_ORDER_NAMES = {"zh": "我的订单", "en": "my order", "es": "mi pedido"}


@dataclass(frozen=True, slots=True)
class _Heads:
    intents: intents.IntentClassifier
    sentiment: sentiment.SentimentClassifier


class Understander:
    """Understands utterances for one pack.

    The classifiers are trained on the pack's examples the first time and come from ``cache_dir``
    after that; :meth:`prepare` does it ahead of the first customer.

    Args:
        pack: the domain pack.
        encoder: the sentence encoder; its own memory of recent texts lets retrieval reuse the
            vector of the same query.
        cache_dir: where trained classifiers are kept.
        today: the day that "tomorrow" is reckoned from.
        order_patterns: regular expressions of the shop's order numbers.
    """

    def __init__(
        self,
        pack: Pack,
        encoder: Embedder,
        cache_dir: Path,
        *,
        today: Callable[[], date] = date.today,
        order_patterns: Sequence[str] = (),
    ) -> None:
        self._pack = pack
        self._encoder = encoder
        self._cache_dir = cache_dir
        self._today = today
        self._normalizer = Normalizer(pack.lexicon.colloquial)
        self._entities = EntityExtractor(pack.lexicon.terms, order_patterns)
        self._heads: _Heads | None = None

    def prepare(self, progress: Progress = lambda step, share: None) -> Self:
        """Train or load the classifiers; returns itself.

        Raises:
            PackError: the pack has no intent examples.
            EngineError: training failed.
            StorageError: the cache folder cannot be written.
        """
        self._load(progress)
        return self

    def _ready(self) -> _Heads:
        return self._heads or self._load(lambda step, share: None)

    def _load(self, progress: Progress) -> _Heads:
        progress("intents", 0.0)
        by_intent = intents.load_classifier(self._pack, self._encoder, self._cache_dir)
        progress("sentiment", 0.7)
        by_feeling = sentiment.load_classifier(self._pack, self._encoder, self._cache_dir)
        self._heads = heads = _Heads(by_intent, by_feeling)
        progress("ready", 1.0)
        return heads

    def understand(
        self, text: str, *, language: str | None = None, hint: str | None = None
    ) -> Understanding:
        """Understand one utterance.

        Args:
            text: what the customer typed or said.
            language: its language where that is known; it is not questioned.
            hint: the language of the conversation so far; decides for texts like "ok".

        Raises:
            TextError: there is nothing to read in the text, or far too much.
        """
        return self.understand_many([text], language=language, hint=hint)[0]

    def understand_many(
        self, texts: Sequence[str], *, language: str | None = None, hint: str | None = None
    ) -> list[Understanding]:
        """Understand several utterances with one pass of the encoder, results in order.

        Raises:
            TextError: as for :meth:`understand`, for any of them.
        """
        heads = self._ready()
        languages: list[str] = []
        normalized: list[str] = []
        for text in texts:
            cleaned = clean(text)
            spoken = language or detect_language(cleaned, self._pack.languages, hint)[0]
            languages.append(spoken)
            normalized.append(self._normalizer.normalize(cleaned, spoken))
        today = self._today()
        entities = [
            self._entities.extract(plain, spoken, today)
            for plain, spoken in zip(normalized, languages, strict=True)
        ]
        meant = [
            _without_codes(plain, items, spoken)
            for plain, items, spoken in zip(normalized, entities, languages, strict=True)
        ]
        vectors = self._encoder.encode(meant, "query")
        found = zip(
            texts,
            normalized,
            languages,
            entities,
            heads.intents.classify(vectors),
            heads.sentiment.classify(vectors),
            strict=True,
        )
        return [
            Understanding(
                text=text,
                normalized=plain,
                language=spoken,
                intent=wanted.intent,
                intent_confidence=wanted.confidence,
                sentiment=felt.sentiment,
                sentiment_confidence=felt.confidence,
                entities=items,
                candidates=wanted.candidates,
            )
            for text, plain, spoken, items, wanted, felt in found
        ]


def _without_codes(text: str, entities: Sequence[Entity], language: str) -> str:
    """``text`` as the encoder should see it: "where is my order AB12345" asks no more than
    "where is my order", but its vector lies elsewhere. "Where is AB12345" is the same question
    with the order unnamed, so the word stands in for its number. A code alone stays."""
    bare = kept = text
    for item in reversed(entities):
        if item.type in _CODES:
            unnamed = item.type == "order_id" and not _ORDER_WORD.search(text)
            name = _ORDER_NAMES.get(language, _ORDER_NAMES["en"]) if unnamed else ""
            kept = f"{kept[: item.start]} {name} {kept[item.end :]}"
            bare = f"{bare[: item.start]} {bare[item.end :]}"
    return " ".join(kept.split()) if any(map(str.isalpha, bare)) else text
