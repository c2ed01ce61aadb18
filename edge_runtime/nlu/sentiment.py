"""How the customer feels: negative, neutral or positive, in every language of the encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from edge_runtime.nlu.base import Embedder, Vectors
from edge_runtime.nlu.heads import SentimentHead, load_sentiment, softmax
from edge_runtime.nlu.training import Example, trained
from edge_runtime.packs.schema import Pack
from edge_runtime.turn import Sentiment

_DATA: Final = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class SentimentResult:
    """``confidence`` is the calibrated probability of ``sentiment``."""

    sentiment: Sentiment
    confidence: float


class SentimentClassifier:
    """Classifies query vectors of the encoder it was trained with."""

    def __init__(self, head: SentimentHead) -> None:
        self._linear = head.linear

    def classify(self, vectors: Vectors) -> list[SentimentResult]:
        """One result for each row of ``vectors``, unit-norm float32 of shape (n, d)."""
        if not len(vectors):
            return []
        shares = softmax(self._linear.logits(vectors))
        classes = [cast(Sentiment, str(name)) for name in self._linear.classes]
        return [SentimentResult(classes[int(row.argmax())], float(row.max())) for row in shares]


def load_classifier(pack: Pack, encoder: Embedder, cache_dir: Path) -> SentimentClassifier:
    """The classifier for the seed set that ships and the pack's own sentiment examples.

    Raises:
        EngineError: training failed.
        StorageError: the cache folder cannot be written.
    """
    examples = [*_seeds(), *_own(pack)]
    return SentimentClassifier(trained("sentiment", examples, encoder, cache_dir, load_sentiment))


def _seeds() -> Iterator[Example]:
    for path in sorted(_DATA.glob("sentiment.*.tsv")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            label, text = line.split("\t")
            yield Example(text, label, number)


def _own(pack: Pack) -> Iterator[Example]:
    for _, by_label in sorted(pack.sentiment.items()):
        for label, texts in sorted(by_label.items()):
            for number, text in enumerate(texts):
                yield Example(text, label, number)
