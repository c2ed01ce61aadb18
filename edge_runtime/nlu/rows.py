"""Rows of weights in few bits, as encoder files hold them.

A row of 4 bits is blocks of 32 weights: a float16 scale and 16 bytes, low nibbles are weights 0-15,
high ones 16-31, each minus 8 (GGML's ``Q4_0``). A row of 2 bits is one float16 scale and a byte for
each 4 weights, the first in its lowest bits. Its weights are trellis-coded (Marcellin and Fischer,
"Trellis Coded Quantization of Memoryless and Gauss-Markov Sources", 1990): the level of each is
looked up by its own two bits and those of the four before it, so that it is one of a thousand. The
levels are spread like a normal distribution in no order, and computed rather than stored (Tseng et
al., "QTIP: Quantization with Trellises and Incoherence Processing", NeurIPS 2024).
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
FLOAT16: Final = 3
"""Kinds of weights in a file."""
BLOCK: Final = 32
BLOCK_BYTES: Final = 18
BITS: Final = 2
WINDOW: Final = 5
"""Weights whose bits say the level of the last of them, in a row of 2 bits."""
_SHIFTS: Final = np.array([0, 2, 4, 6], np.uint8)
_SCALE: Final = "<f2"
_SCALE_BYTES: Final = 2
_SUM_MEAN: Final = 510
_SUM_SPREAD: Final = 147.8


def stored_bytes(kind: int, elements: int, columns: int) -> int:
    """Size of so many weights in rows of ``columns``; -1 where there is no such kind."""
    sizes = {
        FLOAT32: 4 * elements,
        FLOAT16: 2 * elements,
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


def _trellis_levels() -> FloatArray:
    """The four bytes of a linear congruence, added up, are as good as normally distributed."""
    windows = np.arange(1 << BITS * WINDOW, dtype=np.uint32)
    mixed = windows * np.uint32(34038481) + np.uint32(76625530)
    sums = mixed.astype("<u4").view(np.uint8).reshape(-1, 4).sum(axis=1, dtype=np.int32)
    levels: FloatArray = (sums - _SUM_MEAN).astype(np.float32) / np.float32(_SUM_SPREAD)
    return levels


def dequantize_trellis(rows: ByteArray) -> FloatArray:
    """2-bit rows, uint8 (rows, 2 + n / 4), to float32 (rows, n)."""
    scales = rows[:, :_SCALE_BYTES].copy().view(_SCALE).astype(np.float32)
    codes = rows[:, _SCALE_BYTES:, None] >> _SHIFTS & 3
    codes = codes.reshape(len(rows), -1).astype(np.uint16)
    windows = codes.copy()
    for before in range(1, WINDOW):
        windows[:, before:] |= codes[:, :-before] << (BITS * before)
    values: FloatArray = TRELLIS_LEVELS[windows] * scales
    return values


def pack_trellis(windows: npt.NDArray[np.uint16], scales: FloatArray) -> ByteArray:
    """2-bit rows, uint8 (rows, 2 + n / 4), of each weight's window (rows, n) and the rows' scales
    (rows, 1)."""
    codes = (windows & 3).astype(np.uint8).reshape(len(windows), -1, 4)
    packed = (codes << _SHIFTS).sum(axis=-1, dtype=np.uint8)
    return np.concatenate((scales.astype(_SCALE).view(np.uint8), packed), axis=1)


TRELLIS_LEVELS: Final = _trellis_levels()
"""The level for each value of a window, (1024), the last weight's bits lowest."""
