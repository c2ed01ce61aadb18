"""The trained classifiers while they are being made: fitted, calibrated, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from converters.dataset import Row
from converters.errors import DatasetError
from converters.evaluate.metrics import share
from converters.evaluate.nlu import Scored, metrics
from converters.progress import Report
from edge_runtime.errors import TextError
from edge_runtime.nlu import Embedder, Normalizer, Vectors, clean, detect_language
from edge_runtime.nlu.heads import IntentHead, SentimentHead
from edge_runtime.nlu.intents import IntentClassifier
from edge_runtime.nlu.sentiment import SentimentClassifier, SentimentResult
from edge_runtime.nlu.train import train_intents, train_sentiment
from edge_runtime.turn import OUT_OF_SCOPE, Understanding

_BATCH: Final = 256
_NEAR_CERTAIN: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Heads:
    """Classifiers for one encoder; ``sentiment`` only where the data labels it."""

    intents: IntentHead
    sentiment: SentimentHead | None

    @classmethod
    def fit(cls, rows: Sequence[Row], vectors: Vectors, progress: Report) -> Self:
        """Train on ``rows`` and their vectors (n, d)."""
        # Repeated lines must not sit on both sides of cross-validation.
        places: dict[str, int] = {}
        groups = np.array([places.setdefault(row.text, len(places)) for row in rows], np.int64)
        progress("training intents", 0.0)
        intents = train_intents(vectors, np.array([str(row.intent) for row in rows]), groups)
        felt = [index for index, row in enumerate(rows) if row.sentiment is not None]
        feelings = np.array([str(rows[index].sentiment) for index in felt])
        if len(set(feelings.tolist())) < 2:
            return cls(intents, None)
        progress("training sentiment", 0.0)
        return cls(intents, train_sentiment(vectors[felt], feelings, groups[felt]))


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """The best intent of each row and the probability that it is the right one."""

    intents: npt.NDArray[np.str_]
    chances: npt.NDArray[np.float64]


def normalized(row: Row, path: Path | None = None) -> str:
    """The row's text as the assistant would hand it to the encoder.

    Raises:
        DatasetError: there is nothing readable in it; names ``path`` and the line.
    """
    try:
        cleaned = clean(row.text)
    except TextError as error:
        raise DatasetError(error.message, file=path or Path("data"), line=row.line) from error
    return Normalizer({}).normalize(cleaned, _language(row, cleaned))


def judge(heads: Heads, vectors: Vectors) -> Verdicts:
    """What the intent classifier says of each row of ``vectors``, nothing turned away."""
    classifier = IntentClassifier(heads.intents)
    best = [
        result.candidates[0]
        for start in range(0, len(vectors), _BATCH)
        for result in classifier.classify(vectors[start : start + _BATCH])
    ]
    return Verdicts(np.array([name for name, _ in best]), np.array([chance for _, chance in best]))


def recalibrated(heads: Heads, rows: Sequence[Row], vectors: Vectors) -> Heads:
    """``heads`` whose confidence fits ``rows``, which they have not seen.

    Platt scaling of the log-odds ("Probabilistic Outputs for Support Vector Machines", 1999): the
    order of utterances by confidence stays what it was.
    """
    verdicts = judge(heads, vectors)
    right = verdicts.intents == np.array([row.intent for row in rows])
    if right.all() or not right.any():
        return heads
    chances = np.clip(verdicts.chances, _NEAR_CERTAIN, 1 - _NEAR_CERTAIN)
    odds = np.log(chances / (1 - chances))
    model: Any = LogisticRegression().fit(odds[:, None], right)
    slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        return heads
    calibration = heads.intents.calibration * slope
    calibration[-1] += offset
    return replace(heads, intents=replace(heads.intents, calibration=calibration))


def best_threshold(heads: Heads, rows: Sequence[Row], vectors: Vectors, cost: float) -> float:
    """The highest confidence to ask for that costs at most ``cost`` of in-scope accuracy.

    Never above 0.5: what is likelier right than wrong is not turned away.
    """
    verdicts = judge(heads, vectors)
    labels = np.array([row.intent for row in rows])
    inside = labels != OUT_OF_SCOPE
    right = np.sort(verdicts.chances[inside & (verdicts.intents == labels)])
    spared = int(cost * inside.sum())
    return min(0.5, float(right[spared])) if spared < len(right) else 0.5


def measure(
    heads: Heads, rows: Sequence[Row], encoder: Embedder, threshold: float
) -> dict[str, float]:
    """The measures of a card; speed is not among them, because rows go through in batches."""
    scored: list[Scored] = []
    best: list[str] = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        texts = [normalized(row) for row in batch]
        vectors = encoder.encode(texts, "query")
        verdicts = judge(heads, vectors)
        feelings = _feelings(heads, vectors)
        best += verdicts.intents.tolist()
        scored += [
            _scored(*of_row, threshold)
            for of_row in zip(
                batch, texts, verdicts.intents.tolist(), verdicts.chances, feelings, strict=True
            )
        ]
    found = {**metrics(scored), "threshold": threshold}
    inside = [
        guess == row.intent
        for row, guess in zip(rows, best, strict=True)
        if row.intent != OUT_OF_SCOPE
    ]
    if inside:
        found["in_scope_argmax"] = share(inside)
    return found


def _feelings(heads: Heads, vectors: Vectors) -> Sequence[SentimentResult | None]:
    if heads.sentiment is None:
        return [None] * len(vectors)
    return SentimentClassifier(heads.sentiment).classify(vectors)


def _scored(
    row: Row, text: str, intent: str, chance: float, felt: SentimentResult | None, threshold: float
) -> Scored:
    kept = chance >= threshold
    found = Understanding(
        text=row.text,
        normalized=text,
        language=_language(row, text),
        intent=intent if kept else OUT_OF_SCOPE,
        intent_confidence=float(chance if kept else 1.0 - chance),
        sentiment=felt.sentiment if felt else "neutral",
        sentiment_confidence=felt.confidence if felt else 0.0,
        entities=(),
    )
    # What these classifiers do not answer must not count against them.
    labelled = replace(row, entities=None, sentiment=row.sentiment if felt else None)
    return Scored(labelled, found, None)


def _language(row: Row, text: str) -> str:
    return row.language or detect_language(text, ())[0]
