"""The measures of a quality card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Pairs = frozenset[tuple[str, str]]
ECE_BINS: Final = 15


def expected_calibration_error(
    confidences: Sequence[float], right: Sequence[bool], bins: int = ECE_BINS
) -> float:
    """Mean distance between confidence and accuracy over bins of equal mass, in [0, 1].

    Equal confidences share a bin. Nixon et al., "Measuring Calibration in Deep Learning", 2019;
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Raises:
        ValueError: nothing to measure, or the lengths differ.
    """
    if not len(confidences) or len(confidences) != len(right):
        raise ValueError("confidences and outcomes must be equally many, at least one")
    stated: npt.NDArray[np.float64] = np.asarray(confidences, np.float64)
    hits = np.asarray(right, np.float64)
    ordered = np.sort(stated)
    edges = ordered[[len(ordered) * part // bins for part in range(1, bins)]]
    places = np.searchsorted(edges, stated, side="right")
    gaps = np.bincount(places, weights=stated - hits, minlength=bins)
    return float(np.abs(gaps).sum() / len(stated))


def macro_f1(predicted: Sequence[str], truth: Sequence[str]) -> float:
    """F1 averaged over the classes that occur in ``truth``."""
    # Imported late: it takes longer than most commands.
    from sklearn.metrics import f1_score  # type: ignore[import-untyped]

    labels = sorted(set(truth))
    return float(f1_score(truth, predicted, labels=labels, average="macro", zero_division=0))


def entity_f1(predicted: Sequence[Pairs], truth: Sequence[Pairs]) -> float:
    """F1 over all (type, value) pairs; 1.0 where there is nothing to find and nothing was found.

    Types that no row labels are not counted: the data does not say where they occur.
    """
    labelled = {kind for pairs in truth for kind, _ in pairs}
    found = [frozenset(pair for pair in pairs if pair[0] in labelled) for pairs in predicted]
    both = sum(len(a & b) for a, b in zip(found, truth, strict=True))
    total = sum(map(len, found)) + sum(map(len, truth))
    return 2 * both / total if total else 1.0


def share(outcomes: Sequence[bool]) -> float:
    """Share of true outcomes; ``outcomes`` is not empty."""
    return sum(outcomes) / len(outcomes)
