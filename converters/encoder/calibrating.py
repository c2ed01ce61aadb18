"""How sure is sure: calibration, threshold and temperature, chosen on lines not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.nlu.reading import task_evidence
from edge_runtime.turn import OUT_OF_SCOPE

Floats = npt.NDArray[np.float64]
Calibration = tuple[float, float, float, float]

PLAIN: Final[Calibration] = (1.0, 0.0, 0.0, 0.0)
"""The network's own probability."""
HALF: Final = 0.5
_OUTSIDE_SHARE: Final = 0.2
_TEMPERATURES: Final = np.geomspace(0.25, 4.0, 81)


def calibration(
    logits: npt.NDArray[np.float32], intents: Sequence[str], labels: Sequence[str]
) -> Calibration:
    """Weights of the evidence and an offset that give the log-odds of being right.

    Logistic regression (Platt, "Probabilistic Outputs for Support Vector Machines", 1999) on
    ``logits`` (n, k). Out-of-scope lines count as a fifth of all, since what people say at a till
    is seldom as well sorted as the data.
    """
    best, features = task_evidence(logits, intents)
    right = _named(best, intents) == np.array(labels)
    if right.all() or not right.any():
        return PLAIN
    outside = np.array(labels) == OUT_OF_SCOPE
    weights = np.ones(len(labels))
    if 0 < outside.sum() < _OUTSIDE_SHARE * len(labels):
        inside = (~outside).sum()
        weights[outside] = _OUTSIDE_SHARE / (1 - _OUTSIDE_SHARE) * inside / outside.sum()
    # Imported late: it takes longer than most commands.
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    model: Any = LogisticRegression(C=10.0, max_iter=1000)
    model.fit(features, right, sample_weight=weights)
    first, second, third = (float(value) for value in model.coef_[0])
    return first, second, third, float(model.intercept_[0])


def chances(
    logits: npt.NDArray[np.float32], intents: Sequence[str], found: Calibration
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Best intent in scope (n) and the calibrated probability that it is right (n)."""
    best, features = task_evidence(logits, intents)
    odds = features @ np.array(found[:-1]) + found[-1]
    return best, 1 / (1 + np.exp(-np.clip(odds, -30, 30)))


def threshold(
    best: npt.NDArray[np.int64],
    sure: Floats,
    intents: Sequence[str],
    labels: Sequence[str],
    cost: float,
) -> float:
    """The highest probability to ask for that costs at most ``cost`` of in-scope accuracy.

    Never above a half: what is likelier right than wrong is not turned away.
    """
    wanted = np.array(labels)
    inside = wanted != OUT_OF_SCOPE
    right = np.sort(sure[inside & (_named(best, intents) == wanted)])
    spared = int(cost * inside.sum())
    return min(HALF, float(right[spared])) if spared < len(right) else HALF


def shares(
    best: npt.NDArray[np.int64],
    sure: Floats,
    intents: Sequence[str],
    labels: Sequence[str],
    limit: float,
) -> dict[str, float]:
    """Of the lines in scope, how many are kept and right where ``limit`` is asked for; of those
    out of scope, how many are turned away. What there is no line of is left out."""
    wanted = np.array(labels)
    inside, kept = wanted != OUT_OF_SCOPE, sure >= limit
    right = _named(best, intents) == wanted
    found = {}
    if inside.any():
        found["held_out_in_scope"] = float((kept & right)[inside].mean())
    if not inside.all():
        found["held_out_turned_away"] = float((~kept)[~inside].mean())
    return found


def _named(best: npt.NDArray[np.int64], intents: Sequence[str]) -> npt.NDArray[np.str_]:
    return np.array(intents)[best]


def temperature(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """What divides ``logits`` (n, s) so that their probabilities fit ``labels`` (n) best (Guo et
    al., "On Calibration of Modern Neural Networks", ICML 2017)."""
    known = labels >= 0
    if not known.any():
        return 1.0
    scores, wanted = logits[known].astype(np.float64), labels[known]

    def surprise(value: float) -> float:
        scaled = scores / value
        spread = np.logaddexp.reduce(scaled, axis=1)
        return float((spread - scaled[np.arange(len(wanted)), wanted]).mean())

    return float(min(_TEMPERATURES, key=surprise))
