"""Rows of weights in few bits, as encoder files hold them.

A row of 4 bits is blocks of 32 weights: a float16 scale and 16 bytes, low nibbles are weights 0-15,
high ones 16-31, each minus 8 (GGML's ``Q4_0``). A row of 2 bits is one float16 scale and a byte for
each 4 weights, the first in its lowest bits; the four levels are those that lose least of normally
distributed weights (Max, "Quantizing for Minimum Distortion", 1960).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]

FLOAT32: Final = 0
FOUR_BITS: Final = 1
TWO_BITS: Final = 2
"""Kinds of weights in a file."""
BLOCK: Final = 32
BLOCK_BYTES: Final = 18
COARSE_LEVELS: Final = np.array([-1.510, -0.4528, 0.4528, 1.510], np.float32)
_SHIFTS: Final = np.array([0, 2, 4, 6], np.uint8)
_SCALE: Final = "<f2"
_SCALE_BYTES: Final = 2


def stored_bytes(kind: int, elements: int, columns: int) -> int:
    """Size of so many weights in rows of ``columns``; -1 where there is no such kind."""
    sizes = {
        FLOAT32: 4 * elements,
        FOUR_BITS: elements // BLOCK * BLOCK_BYTES,
        TWO_BITS: elements // columns * (_SCALE_BYTES + columns // 4),
    }
    return sizes.get(kind, -1)


def dequantize(blocks: ByteArray) -> FloatArray:
    """4-bit blocks, uint8 (rows, n, 18), to float32 (rows, 32 n)."""
    scales = blocks[..., :_SCALE_BYTES].copy().view(_SCALE).astype(np.float32)
    packed = blocks[..., _SCALE_BYTES:]
    nibbles = np.concatenate((packed & 0x0F, packed >> 4), axis=-1)
    values = (nibbles.astype(np.float32) - 8.0) * scales
    return values.reshape(len(blocks), blocks.shape[1] * BLOCK)


def dequantize_coarse(rows: ByteArray) -> FloatArray:
    """2-bit rows, uint8 (rows, 2 + n / 4), to float32 (rows, n)."""
    scales = rows[:, :_SCALE_BYTES].copy().view(_SCALE).astype(np.float32)
    codes = rows[:, _SCALE_BYTES:, None] >> _SHIFTS & 3
    values: FloatArray = COARSE_LEVELS[codes].reshape(len(rows), -1) * scales
    return values


def quantize_coarse(values: FloatArray) -> ByteArray:
    """Float32 (rows, n) to 2-bit rows, uint8 (rows, 2 + n / 4)."""
    spread = np.maximum(values.std(axis=1, keepdims=True), 1e-6)
    codes = np.digitize(values / spread, (COARSE_LEVELS[1:] + COARSE_LEVELS[:-1]) / 2)
    codes = codes.astype(np.uint8)
    # With the codes settled, the scale that leaves the least squares.
    levels = COARSE_LEVELS[codes]
    scales = (values * levels).sum(axis=1, keepdims=True) / (levels**2).sum(axis=1, keepdims=True)
    packed = (codes.reshape(len(values), -1, 4) << _SHIFTS).sum(axis=-1, dtype=np.uint8)
    return np.concatenate((scales.astype(_SCALE).view(np.uint8), packed), axis=1)
