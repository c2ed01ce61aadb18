"""What the customer wants: the pack's intents on frozen multilingual vectors.

Examples in two languages serve the hundred that the encoder knows.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from edge_runtime.errors import PackError
from edge_runtime.nlu.base import Embedder, Vectors
from edge_runtime.nlu.heads import Floats, IntentHead, evidence, load_intents
from edge_runtime.nlu.training import Example, trained
from edge_runtime.packs.schema import Pack
from edge_runtime.turn import OUT_OF_SCOPE

_OUTSIDE: Final = Path(__file__).parent / "data" / "out_of_scope.tsv"
_CANDIDATES: Final = 3


@dataclass(frozen=True, slots=True)
class IntentResult:
    """``confidence`` is the calibrated probability that ``intent`` is right."""

    intent: str
    confidence: float
    candidates: tuple[tuple[str, float], ...]


class IntentClassifier:
    """Classifies query vectors of the encoder it was trained with."""

    def __init__(self, head: IntentHead) -> None:
        self._head = head
        self._linear = head.linear
        self._examples: Vectors = head.examples.astype(np.float32)

    def classify(self, vectors: Vectors) -> list[IntentResult]:
        """One result for each row of ``vectors``, unit-norm float32 of shape (n, d)."""
        if not len(vectors):
            return []
        head = self._head
        found = evidence(self._linear, self._examples, head.labels, vectors)
        odds = found.features @ head.calibration[:-1] + head.calibration[-1]
        return [
            decided(head.classes.tolist(), int(best), shares, value)
            for best, shares, value in zip(found.best, found.shares, odds.tolist(), strict=True)
        ]


def decided(
    classes: Sequence[str], best: int, shares: Floats, odds: float, threshold: float = 0.5
) -> IntentResult:
    """The verdict on one text.

    Args:
        classes: all intents (k), out of scope among them.
        best: index of the likeliest one in scope.
        shares: probabilities of the classes (k).
        odds: calibrated log-odds that ``best`` is right.
        threshold: the probability below which the text is out of scope.
    """
    right = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, odds))))
    rest = 1.0 - float(shares[best]) or 1.0
    order = sorted(
        (index for index in range(len(classes)) if classes[index] != OUT_OF_SCOPE),
        key=lambda index: (index != best, -shares[index]),
    )
    # What the best intent does not get is shared out as the head would.
    candidates = tuple(
        (str(classes[i]), right if i == best else (1.0 - right) * float(shares[i]) / rest)
        for i in order[:_CANDIDATES]
    )
    if right < threshold:
        return IntentResult(OUT_OF_SCOPE, 1.0 - right, candidates)
    return IntentResult(str(classes[best]), right, candidates)


def load_classifier(pack: Pack, encoder: Embedder, cache_dir: Path) -> IntentClassifier:
    """The classifier of ``pack``, trained in a child process unless the cache has it.

    Raises:
        PackError: the pack has no intent examples.
        EngineError: training failed.
        StorageError: the cache folder cannot be written.
    """
    examples = list(_intent_examples(pack))
    if not examples:
        raise PackError(f"Pack '{pack.name}' has no intent examples.", file="intents.yaml")
    examples += _parallel(OUT_OF_SCOPE, pack.out_of_scope)
    examples += _parallel(OUT_OF_SCOPE, _general(), general=True)
    return IntentClassifier(trained("intents", examples, encoder, cache_dir, load_intents))


def examples_digest(pack: Pack) -> str:
    """Identity of what the pack teaches about intents: hex sha256 of its examples."""
    examples = {name: dict(intent.examples) for name, intent in pack.intents.items()}
    state = [examples, dict(pack.out_of_scope)]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode("ascii")).hexdigest()


def _intent_examples(pack: Pack) -> Iterator[Example]:
    for name, intent in sorted(pack.intents.items()):
        yield from _parallel(name, intent.examples)


def _parallel(
    label: str, examples: Mapping[str, Sequence[str]], *, general: bool = False
) -> Iterator[Example]:
    """Packs list translations in the same order, so equal positions make a group."""
    for _, texts in sorted(examples.items()):
        for position, text in enumerate(texts):
            yield Example(text, label, position, general)


@cache
def _general() -> Mapping[str, tuple[str, ...]]:
    lines: dict[str, tuple[str, ...]] = {}
    for line in _OUTSIDE.read_text(encoding="utf-8").splitlines():
        language, text = line.split("\t")
        lines[language] = (*lines.get(language, ()), text)
    return lines
