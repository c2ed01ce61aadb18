"""Finds the 2-bit rows that lose least of given weights; how they are read back, is
:mod:`edge_runtime.nlu.rows`.

The best of all sequences of levels is found step by step (Viterbi, "Error Bounds for Convolutional
Codes", 1967). Of normally distributed weights eight hundredths are lost, where the best four fixed
levels lose twelve.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt

from converters.progress import Report, silent
from edge_runtime.nlu.rows import (
    BITS,
    TRELLIS_LEVELS,
    WINDOW,
    ByteArray,
    FloatArray,
    pack_trellis,
)

_TOGETHER: Final = 32
"""Rows at a time: more do not stay in the processor's cache."""
_CODES: Final = 1 << BITS
_PASTS: Final = 1 << BITS * (WINDOW - 1)
_NEVER: Final = 1e9
_Windows = npt.NDArray[np.uint16]


def quantize_trellis(values: FloatArray, progress: Report = silent) -> ByteArray:
    """Float32 (rows, n) to 2-bit rows, uint8 (rows, 2 + n / 4).

    Args:
        values: the weights, their mean near zero.
        progress: told how far it is.
    """
    parts = [values[start : start + _TOGETHER] for start in range(0, len(values), _TOGETHER)]
    rows: list[ByteArray] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, packed in enumerate(pool.map(_packed, parts), 1):
            rows.append(packed)
            progress("rounding rows", number / len(parts))
    return np.concatenate(rows)


def _packed(values: FloatArray) -> ByteArray:
    spread = np.maximum(values.std(axis=1, keepdims=True), 1e-6)
    windows = _best_windows(values / spread)
    # With the levels settled, the scale that leaves the least squares.
    chosen = TRELLIS_LEVELS[windows]
    scales = (values * chosen).sum(axis=1, keepdims=True) / (chosen**2).sum(axis=1, keepdims=True)
    return pack_trellis(windows, scales)


def _best_windows(values: FloatArray) -> _Windows:
    """For each weight of (rows, n) the window whose level stands for it."""
    rows, count = values.shape
    by_past = TRELLIS_LEVELS.reshape(_PASTS, _CODES)
    squares, doubled = by_past**2, -2 * values
    # Of each window: the least error so far. Seen from the step after, its oldest bits come first.
    errors = np.full((rows, _PASTS, _CODES), _NEVER, np.float32)
    errors[:, 0, 0] = 0.0
    oldest = errors.reshape(rows, _CODES, _PASTS)
    left = np.empty((count, rows, _PASTS), np.uint8)
    for step in range(count):
        least, left[step] = _least(oldest)
        least -= least.min(axis=1, keepdims=True)
        np.multiply(doubled[:, step, None, None], by_past, out=errors)
        errors += squares
        errors += least[:, :, None]
    return _backwards(errors.reshape(rows, -1).argmin(axis=1), left)


def _least(errors: FloatArray) -> tuple[FloatArray, ByteArray]:
    """Least of the four windows that lead to each past, and which of them it is, of (rows, 4,
    pasts); numpy's own ``argmin`` along that axis takes many times as long."""
    first, second = (np.minimum(errors[:, at], errors[:, at + 1]) for at in (0, 2))
    odd, other_odd = (errors[:, at + 1] < errors[:, at] for at in (0, 2))
    which = np.where(second < first, other_odd + np.uint8(2), odd.view(np.uint8))
    return np.minimum(first, second), which


def _backwards(last: npt.NDArray[np.intp], left: ByteArray) -> _Windows:
    """The windows that lead to ``last`` (rows), by the bits that left at each step (n, rows,
    pasts)."""
    windows = np.empty((len(last), len(left)), np.uint16)
    every = np.arange(len(last))
    for step in range(len(left) - 1, -1, -1):
        windows[:, step] = last
        past = last >> BITS
        last = left[step][every, past].astype(np.intp) * _PASTS + past
    return windows
