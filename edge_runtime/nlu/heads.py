"""Linear classifiers on frozen sentence vectors, and the evidence that one fits at all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EngineError
from edge_runtime.nlu.base import Vectors
from edge_runtime.turn import OUT_OF_SCOPE

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]
# Length of projected vectors: puts the useful range of the regularisation around C = 1.
_SCALE: Final = 20.0
_PROBABILITY_FLOOR: Final = 1e-6
_FEW: Final = 4


def centre(vectors: Vectors, mean: Vectors) -> Vectors:
    """Vectors minus the training mean, brought back to length 1.

    E5's vectors share one large component; without it similarities spread over the whole range.
    """
    shifted = vectors - mean
    norms = np.linalg.norm(shifted, axis=1, keepdims=True)
    unit: Vectors = (shifted / np.maximum(norms, 1e-9)).astype(np.float32)
    return unit


def regressors(vectors: Vectors, mean: Vectors) -> Floats:
    """What the weights are fitted to."""
    return centre(vectors, mean).astype(np.float64) * _SCALE


def softmax(logits: Floats) -> Floats:
    """Row-wise."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = powers / powers.sum(axis=1, keepdims=True)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """Multinomial logistic regression: ``weights`` (k, d), ``bias`` (k), ``classes`` (k)."""

    classes: Labels
    mean: Vectors
    weights: Floats
    bias: Floats

    def logits(self, vectors: Vectors) -> Floats:
        """Shape (n, k) for unit-norm ``vectors`` of shape (n, d)."""
        result: Floats = regressors(vectors, self.mean) @ self.weights.T + self.bias
        return result


@dataclass(frozen=True, slots=True, eq=False)
class IntentHead:
    """A linear head, its training examples, and the calibration of its best intent.

    ``examples`` (n, d) float16 are centred vectors, ``labels`` (n) their class indexes.
    ``calibration`` (features + 1) turns :func:`evidence` into log-odds, the last one the offset.
    """

    classes: Labels
    mean: Vectors
    weights: Floats
    bias: Floats
    examples: npt.NDArray[np.float16]
    labels: npt.NDArray[np.int64]
    calibration: Floats

    @property
    def linear(self) -> LinearHead:
        return LinearHead(self.classes, self.mean, self.weights, self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class SentimentHead:
    """A linear head whose logits are already divided by the calibrated temperature."""

    classes: Labels
    mean: Vectors
    weights: Floats
    bias: Floats

    @property
    def linear(self) -> LinearHead:
        return LinearHead(self.classes, self.mean, self.weights, self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """For each text its best in-scope class, and numbers that tell whether it is right.

    ``best`` (n) class index; ``shares`` (n, k) class probabilities; ``features`` (n, 7).
    """

    best: npt.NDArray[np.int64]
    shares: Floats
    features: Floats


def evidence(
    head: LinearHead, examples: Vectors, labels: npt.NDArray[np.int64], vectors: Vectors
) -> Evidence:
    """Log-odds of the best intent, margin to the next, lead over out-of-scope, and likeness.

    Likeness: cosine to the nearest example of that intent, mean of the three nearest, cosine to
    the nearest out-of-scope example; then the winning logit itself.
    """
    logits = head.logits(vectors)
    outside = head.classes == OUT_OF_SCOPE
    intents = np.flatnonzero(~outside)
    inside = logits[:, intents]
    best = intents[inside.argmax(axis=1)]
    ordered = np.sort(inside, axis=1)
    top = ordered[:, -1]
    second = ordered[:, -2] if len(intents) > 1 else top
    shares = softmax(logits)
    chance = np.clip(shares[np.arange(len(best)), best], _PROBABILITY_FLOOR, 1 - _PROBABILITY_FLOOR)
    spread = top + np.log(np.exp(inside - top[:, None]).sum(axis=1))
    rejected = logits[:, outside].max(axis=1) if outside.any() else np.zeros(len(best))
    likeness = _likeness(centre(vectors, head.mean), examples).astype(np.float64)
    foreign = outside[labels]
    stranger = likeness[:, foreign].max(axis=1) if foreign.any() else np.zeros(len(best))
    nearest = np.zeros(len(best))
    near3 = np.zeros(len(best))
    for row, intent in enumerate(best):
        own = np.sort(likeness[row, labels == intent])[-3:]
        if len(own):
            nearest[row], near3[row] = own[-1], own.mean()
    odds = np.log(chance / (1 - chance))
    columns = (odds, top - second, spread - rejected, nearest, near3, stranger, top)
    return Evidence(best, shares, np.column_stack(columns))


def _likeness(vectors: Vectors, examples: Vectors) -> Vectors:
    if len(vectors) > _FEW:
        return vectors @ examples.T
    # For one utterance waking BLAS's threads takes longer than the product itself.
    product: Vectors = np.einsum("nd,md->nm", vectors, examples)
    return product


def dump(head: IntentHead | SentimentHead) -> bytes:
    """A head as the bytes of an ``.npz`` file."""
    buffer = io.BytesIO()
    arrays = {field.name: getattr(head, field.name) for field in fields(head)}
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load_arrays(content: bytes, names: Mapping[str, int]) -> dict[str, Any]:
    """Arrays of an ``.npz`` by name, each of the given number of dimensions.

    Raises:
        EngineError: the content is not such a file.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in names}
    except Exception as error:  # a damaged archive fails in zlib, zipfile, tokenize or numpy
        raise EngineError("A trained classifier is damaged.") from error
    if any(arrays[name].ndim != dimensions for name, dimensions in names.items()):
        raise EngineError("A trained classifier has arrays of the wrong shape.")
    return arrays


_LINEAR: Final = {"classes": 1, "mean": 1, "weights": 2, "bias": 1}


def load_intents(content: bytes) -> IntentHead:
    """Raises :class:`EngineError` when ``content`` is damaged."""
    names = {**_LINEAR, "examples": 2, "labels": 1, "calibration": 1}
    return IntentHead(**load_arrays(content, names))


def load_sentiment(content: bytes) -> SentimentHead:
    """Raises :class:`EngineError` when ``content`` is damaged."""
    return SentimentHead(**load_arrays(content, _LINEAR))
