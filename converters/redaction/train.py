"""Trains the reader of names and addresses: an averaged structured perceptron with a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.redaction import SENTENCES
from converters.redaction.mixture import endless
from converters.redaction.sentences import Labelled
from edge_runtime.journal.tagger import (
    BUCKETS,
    LABELS,
    TOKEN,
    Caution,
    best_chain,
    places,
    rows,
    save,
)

_MARGIN = 2.0
"""What a wrong label gets as a start in training, so that the right one wins clearly."""

_STEPS = 1.1
"""What is left of the weights of going from label to label. A name of one word pays for two
changes, and one that nobody has on a list stays below it; measured on development sets."""

_CAUTION = Caution(
    small_name=10.0,
    character_name=20.0,
    other_name=-27.0,
    number_address=-36.0,
    other_address=-10.0,
)
"""How sure the reader must be, in margins of the perceptron; measured likewise: the most that is
found with few false masks in what names nobody."""

TABLE_BYTES = 2**20
"""The table is smaller than this."""


@dataclass(frozen=True, slots=True)
class Trained:
    """``weights`` are whole numbers within a byte; ``steps`` and ``caution`` are on their scale."""

    weights: NDArray[np.int8]
    steps: NDArray[np.float32]
    caution: Caution
    wrong_tokens: float

    def save(self, path: Path) -> None:
        save(path, self.weights, self.steps, self.caution)


def train(
    ordinary: Sequence[str],
    *,
    sentences: int = SENTENCES,
    seed: int = 1,
    caution: Caution = _CAUTION,
) -> Trained:
    """Learn from made sentences and from ``ordinary`` ones, which hold nobody's data.

    ``caution`` is in margins of the perceptron.
    """
    weights = np.zeros((BUCKETS, len(LABELS)), np.float32)
    steps = np.zeros((len(LABELS), len(LABELS)), np.float32)
    later_weights, later_steps = np.zeros_like(weights), np.zeros_like(steps)
    wrong = seen = 0
    source = endless(seed, list(ordinary))
    for count in range(sentences):
        buckets, gold = _encoded(next(source))
        if not buckets:
            continue
        starts = np.cumsum([0, *(len(row) for row in buckets[:-1])])
        flat = np.fromiter(chain.from_iterable(buckets), np.intp)
        scores = np.add.reduceat(weights[flat], starts, axis=0)
        scores += _MARGIN
        scores[np.arange(len(gold)), gold] -= _MARGIN
        guess = best_chain(scores.tolist(), steps.tolist())
        if count >= sentences * 0.9:
            seen += len(gold)
            wrong += sum(one != two for one, two in zip(gold, guess, strict=True))
        for at, (right, said) in enumerate(zip(gold, guess, strict=True)):
            if right != said:
                for label, amount in ((right, 1.0), (said, -1.0)):
                    np.add.at(weights, (buckets[at], label), amount)
                    np.add.at(later_weights, (buckets[at], label), amount * count)
            if at and (gold[at - 1], right) != (guess[at - 1], said):
                for one, two, amount in ((gold[at - 1], right, 1.0), (guess[at - 1], said, -1.0)):
                    steps[one, two] += amount
                    later_steps[one, two] += amount * count
    weights -= later_weights / sentences
    steps -= later_steps / sentences
    scale = 127 / max(float(np.quantile(np.abs(weights[weights != 0]), 0.999)), 1e-6)
    whole = np.clip(np.rint(weights * scale), -127, 127).astype(np.int8)
    return Trained(
        np.ascontiguousarray(whole.T),
        steps * scale * _STEPS,
        Caution(*(one * scale for one in caution)),
        wrong / max(seen, 1),
    )


def _encoded(sentence: Labelled) -> tuple[list[list[int]], list[int]]:
    found = list(TOKEN.finditer(sentence.text))
    gold = []
    for match in found:
        label = "ordinary"
        for start, end, name in sentence.spans:
            if match.start() < end and match.end() > start:
                label = name
        gold.append(LABELS.index(label))
    return [rows(place) for place in places([match[0] for match in found])], gold
