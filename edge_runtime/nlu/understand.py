"""From an utterance to what it means: the whole room in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Self

from edge_runtime.nlu import intents, sentiment
from edge_runtime.nlu.base import Embedder, Progress
from edge_runtime.nlu.preparing import Preparation, Prepared
from edge_runtime.nlu.reading import FrozenHeads, Heads, Reading, StudentHeads, TaskEncoder
from edge_runtime.nlu.student import TaskLabels
from edge_runtime.nlu.tags import merged
from edge_runtime.packs.schema import Pack
from edge_runtime.turn import Understanding


class Understander:
    """Understands utterances for one pack.

    Without trained heads, classifiers are trained on the pack's examples the first time and come
    from ``cache_dir`` after that; :meth:`prepare` does it ahead of the first customer.

    Args:
        pack: the domain pack.
        encoder: the sentence encoder; its own memory of recent texts lets retrieval reuse the
            vector of the same query.
        cache_dir: where trained classifiers are kept.
        student: the encoder opened with trained heads and what they are labelled with; they are
            used instead of the pack's examples.
        lexical: whether the pack's own words (colloquial forms, product names) are what customers
            use here; not so where the heads are for another business.
        today: the day that "tomorrow" is reckoned from.
        order_patterns: regular expressions of the shop's order numbers.
    """

    def __init__(
        self,
        pack: Pack,
        encoder: Embedder,
        cache_dir: Path,
        *,
        student: tuple[TaskEncoder, TaskLabels] | None = None,
        lexical: bool = True,
        today: Callable[[], date] = date.today,
        order_patterns: Sequence[str] = (),
    ) -> None:
        self._pack = pack
        self._encoder = encoder
        self._cache_dir = cache_dir
        self._student = student
        self._today = today
        lexicon = pack.lexicon if lexical else None
        self._preparation = Preparation(lexicon, pack.languages, order_patterns)
        self._heads: Heads | None = None

    def prepare(self, progress: Progress = lambda step, share: None) -> Self:
        """Train or load the classifiers; returns itself.

        Raises:
            PackError: the pack has no intent examples.
            EngineError: training failed.
            StorageError: the cache folder cannot be written.
        """
        self._load(progress)
        return self

    def _ready(self) -> Heads:
        return self._heads or self._load(lambda step, share: None)

    def _load(self, progress: Progress) -> Heads:
        progress("intents", 0.0)
        student = self._student
        heads = self._student_heads(*student) if student else self._frozen_heads(progress)
        self._heads = heads
        progress("ready", 1.0)
        return heads

    def _student_heads(self, encoder: TaskEncoder, labels: TaskLabels) -> StudentHeads:
        by_feeling = None
        if not labels.sentiments:
            by_feeling = sentiment.load_classifier(self._pack, encoder, self._cache_dir)
        return StudentHeads(encoder, labels, by_feeling)

    def _frozen_heads(self, progress: Progress) -> FrozenHeads:
        by_intent = intents.load_classifier(self._pack, self._encoder, self._cache_dir)
        progress("sentiment", 0.7)
        by_feeling = sentiment.load_classifier(self._pack, self._encoder, self._cache_dir)
        return FrozenHeads(self._encoder, by_intent, by_feeling)

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
        """Understand several utterances, results in order.

        Raises:
            TextError: as for :meth:`understand`, for any of them.
        """
        heads = self._ready()
        today = self._today()
        prepared = [
            self._preparation.prepare(text, today, language=language, hint=hint) for text in texts
        ]
        readings = heads.read([one.meant for one in prepared])
        return [_understanding(*pair) for pair in zip(prepared, readings, strict=True)]


def _understanding(said: Prepared, read: Reading) -> Understanding:
    return Understanding(
        text=said.text,
        normalized=said.normalized,
        language=said.language,
        intent=read.intent.intent,
        intent_confidence=read.intent.confidence,
        sentiment=read.sentiment.sentiment,
        sentiment_confidence=read.sentiment.confidence,
        entities=merged(said.entities, read.spans, said.normalized, said.places),
        candidates=read.intent.candidates,
    )
