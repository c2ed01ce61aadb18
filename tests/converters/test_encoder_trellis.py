"""Rows of 2 bits lose less than fixed levels could."""

from __future__ import annotations

import numpy as np

from converters.encoder.trellis import quantize_trellis
from edge_runtime.nlu.rows import TRELLIS_LEVELS, dequantize_trellis


def lost(rows: np.ndarray) -> float:
    kept = dequantize_trellis(quantize_trellis(rows))
    return float(((kept - rows) ** 2).sum() / (rows**2).sum())


def test_two_bits_keep_more_of_a_row_than_any_four_levels() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(70, 384)) * random.uniform(0.01, 5, (70, 1))
    packed = quantize_trellis(rows.astype(np.float32))
    assert packed.shape == (70, 98)
    # Four levels can leave no less than .1175 of normally distributed numbers (Max, 1960), and
    # nothing of 2 bits less than .0625 (Shannon, 1959).
    assert 0.0625 < lost(rows.astype(np.float32)) < 0.085


def test_no_neighbouring_sequence_of_levels_fits_better() -> None:
    rows = np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)
    spread = rows.std(axis=1, keepdims=True)
    packed = quantize_trellis(rows)
    kept = dequantize_trellis(_of_scale_one(packed))
    best = ((kept - rows / spread) ** 2).sum(axis=1)
    for weight in range(64):
        for change in (1, 2, 3):
            other = packed.copy()
            other[:, 2 + weight // 4] ^= change << 2 * (weight % 4)
            moved = dequantize_trellis(_of_scale_one(other))
            assert (((moved - rows / spread) ** 2).sum(axis=1) >= best - 1e-3).all()


def test_the_order_of_rows_is_kept_and_zeros_stay_numbers() -> None:
    rows = np.random.default_rng(2).normal(size=(100, 32)).astype(np.float32)
    rows[40] = 0.0
    assert np.array_equal(quantize_trellis(rows)[70:71], quantize_trellis(rows[70:71]))
    kept = dequantize_trellis(quantize_trellis(rows))
    assert np.isfinite(kept).all()
    assert np.abs(kept[40]).max() < 1e-4


def test_levels_are_spread_like_a_normal_distribution() -> None:
    levels = TRELLIS_LEVELS
    assert levels.shape == (1024,)
    assert abs(levels.mean()) < 0.05
    assert 0.95 < levels.std() < 1.05
    assert 0.6 < (np.abs(levels) < 1).mean() < 0.75


def _of_scale_one(packed: np.ndarray) -> np.ndarray:
    scaled = packed.copy()
    scaled[:, :2] = np.frombuffer(np.float16(1.0).tobytes(), np.uint8)
    return scaled
