"""What classifiers make of texts: the one question :class:`Understander` asks, and two answers.

:class:`FrozenHeads` are trained on this device from a pack's examples, on vectors of the frozen
encoder; :class:`StudentHeads` came with the student encoder and read its own forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.nlu.base import Embedder, Vectors
from edge_runtime.nlu.heads import Floats, softmax
from edge_runtime.nlu.intents import IntentClassifier, IntentResult, decided
from edge_runtime.nlu.network import TaskOutput
from edge_runtime.nlu.sentiment import SentimentClassifier, SentimentResult
from edge_runtime.nlu.student import TaskLabels
from edge_runtime.nlu.tags import Span, spans
from edge_runtime.turn import OUT_OF_SCOPE

Indexes = npt.NDArray[np.int64]
_PROBABILITY_FLOOR: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Reading:
    """One text: its intent, its sentiment, and stretches of it that were tagged as entities."""

    intent: IntentResult
    sentiment: SentimentResult
    spans: tuple[Span, ...] = ()


class Heads(Protocol):
    """Reads texts; results in order."""

    def read(self, texts: Sequence[str]) -> list[Reading]: ...


class TaskEncoder(Embedder, Protocol):
    """An encoder that was opened with trained heads."""

    def understand(self, texts: Sequence[str]) -> list[TaskOutput]: ...


class FrozenHeads:
    """Classifiers on the vectors of ``encoder``."""

    def __init__(
        self, encoder: Embedder, intents: IntentClassifier, sentiment: SentimentClassifier
    ) -> None:
        self._encoder = encoder
        self._intents = intents
        self._sentiment = sentiment

    def read(self, texts: Sequence[str]) -> list[Reading]:
        vectors = self._encoder.encode(texts, "query")
        found = zip(self._intents.classify(vectors), self._sentiment.classify(vectors), strict=True)
        return [Reading(intent, felt) for intent, felt in found]


class StudentHeads:
    """The heads that ``encoder`` was opened with.

    Args:
        encoder: gives the outputs.
        labels: what they mean.
        sentiment: judges the vectors where the task has no sentiment of its own, else ``None``.
    """

    def __init__(
        self, encoder: TaskEncoder, labels: TaskLabels, sentiment: SentimentClassifier | None
    ) -> None:
        self._encoder = encoder
        self._labels = labels
        self._sentiment = sentiment

    def read(self, texts: Sequence[str]) -> list[Reading]:
        outputs = self._encoder.understand(texts)
        return [self._reading(text, output) for text, output in zip(texts, outputs, strict=True)]

    def _reading(self, text: str, output: TaskOutput) -> Reading:
        labels = self._labels
        best, features = task_evidence(output.intent[None], labels.intents)
        odds = float(features[0] @ labels.calibration[:-1]) + labels.calibration[-1]
        shares = softmax(output.intent[None].astype(np.float64))[0]
        intent = decided(labels.intents, int(best[0]), shares, odds, labels.threshold)
        found = spans(output.entities, labels.tags, output.spans) if labels.tags else ()
        return Reading(intent, self._feeling(text, output), found)

    def _feeling(self, text: str, output: TaskOutput) -> SentimentResult:
        if self._sentiment is not None:
            return self._sentiment.classify(self._encoder.encode([text], "query"))[0]
        logits = output.sentiment[None].astype(np.float64) / self._labels.sentiment_temperature
        shares = softmax(logits)[0]
        best = int(shares.argmax())
        return SentimentResult(self._labels.sentiments[best], float(shares[best]))


def task_evidence(logits: Vectors, intents: Sequence[str]) -> tuple[Indexes, Floats]:
    """Index of the best intent in scope, (n), and three numbers on whether it is right, (n, 3).

    For ``logits`` (n, k): its log-odds among all classes, its lead over the next in scope, and the
    lead of all in scope together (log-sum-exp) over out of scope.
    """
    scores: Floats = logits.astype(np.float64)
    inside = np.array([name != OUT_OF_SCOPE for name in intents])
    within = np.where(inside, scores, -np.inf)
    best = within.argmax(axis=1)
    rows = np.arange(len(scores))
    chance = np.clip(softmax(scores)[rows, best], _PROBABILITY_FLOOR, 1 - _PROBABILITY_FLOOR)
    top = within[rows, best]
    ordered = np.sort(within, axis=1)
    second = ordered[:, -2] if inside.sum() > 1 else top
    together = top + np.log(np.exp(within - top[:, None]).sum(axis=1))
    outside = np.zeros(len(scores)) if inside.all() else scores[:, ~inside].max(axis=1)
    odds = np.log(chance / (1 - chance))
    return best, np.column_stack((odds, top - second, together - outside))
