"""Trains the intent and sentiment heads; ``python -m edge_runtime.nlu.train HEAD JOB OUT``.

A process of its own, so that scikit-learn never enters the assistant's memory. ``JOB`` is an
``.npz`` with ``vectors`` float32 (n, d), ``labels`` (n), ``groups`` int64 (n) and ``general`` bool
(n). Examples that say the same in different languages share a group, and a group is never split by
cross-validation; general examples give way to the pack's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.nlu.base import Vectors
from edge_runtime.nlu.files import write_atomically
from edge_runtime.nlu.heads import (
    Evidence,
    Floats,
    IntentHead,
    Labels,
    LinearHead,
    SentimentHead,
    centre,
    dump,
    evidence,
    load_arrays,
    regressors,
    softmax,
)
from edge_runtime.turn import OUT_OF_SCOPE

Indexes = npt.NDArray[np.int64]
_FOLDS: Final = 5
_STRENGTHS: Final = (0.1, 0.3, 1.0)
# Whole intents held out stand for requests near the shop's business that it does not serve. Their
# weight says how common those are: more of it turns doubtful requests away sooner.
_UNKNOWN_INTENT_WEIGHT: Final = 0.25
_SERVED: Final = 0.85
_TEMPERATURES: Final = tuple(np.geomspace(0.25, 4.0, 33))


def train_intents(vectors: Vectors, labels: Labels, groups: Indexes) -> IntentHead:
    """Fit the linear head, then calibrate it on predictions for examples it did not see.

    The calibrated probability is that the best intent is the right one. It is fitted on
    cross-validated predictions and on those for intents left out of training altogether, so that
    0.7 means seven of ten also among requests unlike any example.
    """
    strength = _best_strength(vectors, labels, groups)
    folds = groups % _FOLDS
    parts = [_held_out(vectors, labels, folds == fold, strength) for fold in range(_FOLDS)]
    features = [part.features for part, _ in parts]
    right = [hits for _, hits in parts]
    weights = [np.ones(len(hits)) for hits in right]
    intents = np.array(sorted(set(labels.tolist()) - {OUT_OF_SCOPE}))
    if len(intents) > 2:
        for fold in range(min(_FOLDS, len(intents) - 1)):
            unknown = np.isin(labels, intents[fold::_FOLDS])
            part, hits = _held_out(vectors, labels, unknown, strength)
            features.append(part.features)
            right.append(np.zeros_like(hits))
            weights.append(np.full(len(hits), _UNKNOWN_INTENT_WEIGHT))
    calibration = _calibrate(
        np.concatenate(features), np.concatenate(right), np.concatenate(weights)
    )
    head = _fit(vectors, labels, strength)
    examples = centre(vectors, head.mean).astype(np.float16)
    indexes = np.searchsorted(head.classes, labels).astype(np.int64)
    return IntentHead(
        head.classes, head.mean, head.weights, head.bias, examples, indexes, calibration
    )


def train_sentiment(vectors: Vectors, labels: Labels, groups: Indexes) -> SentimentHead:
    """Fit the linear head and its temperature (Guo et al., "On Calibration", ICML 2017)."""
    strength = _best_strength(vectors, labels, groups)
    logits, truth = _cross_validated(vectors, labels, groups, strength)
    temperature = min(_TEMPERATURES, key=lambda t: _log_loss(logits / t, truth))
    head = _fit(vectors, labels, strength)
    return SentimentHead(
        head.classes, head.mean, head.weights / temperature, head.bias / temperature
    )


def _served(vectors: Vectors, general: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """General examples so close to one of the pack's own that the pack answers for them."""
    served = np.zeros(len(vectors), np.bool_)
    if general.any():
        centred = centre(vectors, vectors.mean(axis=0))
        likeness = centred[general] @ centred[~general].T
        served[general] = likeness.max(axis=1) > _SERVED
    return served


def _fit(vectors: Vectors, labels: Labels, strength: float) -> LinearHead:
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    model: Any = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
    model.fit(regressors(vectors, mean), labels)
    weights, bias = model.coef_, model.intercept_
    if len(weights) == 1:
        weights, bias = np.vstack((-weights, weights)) / 2, np.concatenate((-bias, bias)) / 2
    return LinearHead(model.classes_.astype(np.str_), mean, weights, bias)


def _held_out(
    vectors: Vectors, labels: Labels, out: npt.NDArray[np.bool_], strength: float
) -> tuple[Evidence, npt.NDArray[np.bool_]]:
    """Evidence for the examples in ``out`` from a head fitted to the others; which are right."""
    head = _fit(vectors[~out], labels[~out], strength)
    examples = centre(vectors[~out], head.mean)
    indexes = np.searchsorted(head.classes, labels[~out]).astype(np.int64)
    found = evidence(head, examples, indexes, vectors[out])
    return found, head.classes[found.best] == labels[out]


def _cross_validated(
    vectors: Vectors, labels: Labels, groups: Indexes, strength: float
) -> tuple[Floats, Indexes]:
    """Logits over all classes for every example, each from a head that did not see its group."""
    classes = np.unique(labels)
    logits = np.full((len(labels), len(classes)), -30.0)
    folds = groups % _FOLDS
    for fold in range(_FOLDS):
        out = folds == fold
        if out.any():
            head = _fit(vectors[~out], labels[~out], strength)
            columns = np.searchsorted(classes, head.classes)
            logits[np.ix_(out, columns)] = head.logits(vectors[out])
    return logits, np.searchsorted(classes, labels).astype(np.int64)


def _log_loss(logits: Floats, truth: Indexes) -> float:
    shares = softmax(logits)[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(shares, 1e-9)).mean())


def _best_strength(vectors: Vectors, labels: Labels, groups: Indexes) -> float:
    return min(_STRENGTHS, key=lambda c: _log_loss(*_cross_validated(vectors, labels, groups, c)))


def _calibrate(features: Floats, right: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    model: Any = LogisticRegression(C=1.0, max_iter=300)
    model.fit((features - mean) / spread, right, sample_weight=weights)
    slopes = model.coef_[0] / spread
    result: Floats = np.append(slopes, model.intercept_[0] - slopes @ mean)
    return result


_TRAINERS: Final[dict[str, Callable[[Vectors, Labels, Indexes], IntentHead | SentimentHead]]] = {
    "intents": train_intents,
    "sentiment": train_sentiment,
}


def main(arguments: list[str]) -> int:
    name, job, out = arguments
    try:
        names = {"vectors": 2, "labels": 1, "groups": 1, "general": 1}
        arrays = load_arrays(Path(job).read_bytes(), names)
        kept = ~_served(arrays["vectors"], arrays["general"])
        head = _TRAINERS[name](*(arrays[part][kept] for part in ("vectors", "labels", "groups")))
        write_atomically(Path(out), dump(head))
    except EdgeRuntimeError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
