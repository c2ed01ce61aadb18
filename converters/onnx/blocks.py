"""Matrices in blocks of few bits, as ONNX Runtime's ``MatMulNBits`` reads them.

A row's numbers are cut into blocks; each has one scale, and its numbers are unsigned integers
around the middle of their range. Two numbers of 4 bits share a byte, the first in its lower half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

BLOCK: Final = 32
_ROWS_AT_ONCE: Final = 8192
_TRIED: Final = 9
_STEP: Final = 0.1
_TINY: Final = 1e-20


@dataclass(frozen=True, slots=True)
class Blocks:
    """``values``: shape (rows, blocks, block · bits / 8), uint8; ``scales``: (rows, blocks)."""

    values: npt.NDArray[np.uint8]
    scales: Matrix
    bits: int
    block: int


def to_blocks(
    rows: Matrix, bits: int, *, block: int = BLOCK, importance: Matrix | None = None
) -> Blocks:
    """Quantise ``rows``, shape (rows, columns), to 4 or 8 bits.

    Rows that blocks do not divide are filled up with zeros. At 8 bits a block's largest number sets
    its scale. At 4 bits 19 scales around that are tried, and the one with the least error kept,
    where a number's error counts as much as its size and ``importance`` (the mean square of what
    its column is multiplied with, shape (columns,)) say: llama.cpp's search for Q4_0.
    """
    columns = rows.shape[1]
    missing = -columns % block
    weight = np.ones(columns, np.float32) if importance is None else importance
    weight = np.pad(weight, (0, missing)).reshape(1, -1, block)
    parts = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = np.pad(rows[start : start + _ROWS_AT_ONCE], ((0, 0), (0, missing)))
        numbers = part.reshape(len(part), -1, block).astype(np.float32)
        parts.append(_eight(numbers) if bits == 8 else _four(numbers, weight))
    values = np.concatenate([values for values, _ in parts])
    return Blocks(values, np.concatenate([scales for _, scales in parts]), bits, block)


def _eight(numbers: Matrix) -> tuple[npt.NDArray[np.uint8], Matrix]:
    scales = np.abs(numbers).max(axis=2) / 127
    steps = np.rint(numbers / np.where(scales == 0, 1, scales)[:, :, None])
    return (steps + 128).astype(np.uint8), scales


def _four(numbers: Matrix, importance: Matrix) -> tuple[npt.NDArray[np.uint8], Matrix]:
    where = np.abs(numbers).argmax(axis=2)[:, :, None]
    # The largest number takes the end of the range that has one step more. Each block is searched
    # with it as the unit: squares of very small numbers would vanish.
    largest = np.take_along_axis(numbers, where, axis=2)
    largest[largest == 0] = 1
    numbers = numbers / largest
    mean_square = np.square(numbers).mean(axis=2, keepdims=True)
    weight = np.sqrt(mean_square + np.square(numbers)) * importance
    best = np.full(numbers.shape[:2], -1, np.float32)
    scales: Matrix = np.zeros(numbers.shape[:2], np.float32)
    values = np.zeros(numbers.shape, np.int8)
    for tried in range(-_TRIED, _TRIED + 1):
        steps = np.clip(np.rint(numbers * -(8 + _STEP * tried)), -8, 7)
        overlap = (weight * numbers * steps).sum(axis=2)
        length = np.maximum((weight * np.square(steps)).sum(axis=2), _TINY)
        # With the scale that fits these steps best, the error is smallest where this is largest.
        explained = np.square(overlap) / length
        better = explained > best
        best[better] = explained[better]
        scales[better] = (overlap / length)[better]
        values[better] = steps[better].astype(np.int8)
    raised = (values + 8).astype(np.uint8)
    packed: npt.NDArray[np.uint8] = raised[:, :, 0::2] | (raised[:, :, 1::2] << np.uint8(4))
    return packed, scales * largest[:, :, 0]
