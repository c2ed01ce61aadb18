"""Hidden states of many texts on disk, as the device's own trunk computes them.

Training reads them again and again; the trunk never changes, so it runs once a text. Because it is
the trunk in 8 bits, what is trained on it has its rounding priced in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from converters.progress import Report
from edge_runtime.bundles.blobs import require_space
from edge_runtime.nlu import Vectors
from edge_runtime.nlu.network import StudentNetwork
from edge_runtime.nlu.tokenizer import Pieces

MAX_TOKENS: Final = 64
"""Longer texts lose their end in training; the device reads on."""
PREFIX: Final = "query: "
"""Before what a customer says."""
_OFFSETS: Final = "offsets.npy"
_STATES: Final = "states.f16"
_POOLED: Final = "pooled.npy"
_VECTORS: Final = "vectors.npy"


class Trunk:
    """A student base's tokeniser and frozen layers, one text at a time as on the device.

    Args:
        files: the base's files by name.
        threads: threads of one pass.

    Raises:
        ModelCorruptError: a file is not sound.
        EngineError: the trunk cannot be loaded.
    """

    def __init__(self, files: Mapping[str, Path], threads: int) -> None:
        self._network = StudentNetwork(files, threads, None)
        self.width = self._network.words.shape.hidden

    def pieces(self, text: str) -> Pieces:
        """``text`` as a query, at most :data:`MAX_TOKENS` pieces."""
        return self._network.tokenizer.pieces(text, MAX_TOKENS, PREFIX)

    def read(self, pieces: Pieces) -> tuple[Vectors, Vectors]:
        """Hidden states (tokens, width) and the unit-norm vector (width).

        Raises:
            EngineError: the network failed.
        """
        hidden = self._network.hidden(pieces.ids)
        return hidden[0], self._network.vector(hidden)


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """Row ``i`` is ``values[offsets[i]:offsets[i + 1]]``, float16 of shape (tokens, width); its
    mean over the tokens is ``pooled[i]``, its sentence vector ``vectors[i]``."""

    values: npt.NDArray[np.float16]
    offsets: npt.NDArray[np.int64]
    pooled: Vectors
    vectors: Vectors

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.offsets)

    def batch(self, rows: Sequence[int]) -> tuple[Vectors, Vectors]:
        """States (batch, tokens, width) and mask (batch, tokens), zeros for padding."""
        lengths = self.lengths[list(rows)]
        states = np.zeros((len(rows), int(lengths.max()), self.values.shape[1]), np.float32)
        mask = np.zeros(states.shape[:2], np.float32)
        for place, row in enumerate(rows):
            size = int(lengths[place])
            states[place, :size] = self.values[self.offsets[row] : self.offsets[row + 1]]
            mask[place, :size] = 1.0
        return states, mask


def write_states(pieces: Sequence[Pieces], trunk: Trunk, folder: Path, progress: Report) -> None:
    """Compute the states of texts cut into ``pieces`` into ``folder``.

    Raises:
        EngineError: the trunk failed.
        StorageError: the disk is full or cannot be written.
    """
    offsets = np.cumsum([0, *(len(item.ids) for item in pieces)]).astype(np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    require_space(folder, int(offsets[-1]) * trunk.width * 2)
    pooled = np.zeros((len(pieces), trunk.width), np.float32)
    vectors = np.zeros_like(pooled)
    with (folder / _STATES).open("wb") as file:
        for row, item in enumerate(pieces):
            hidden, vectors[row] = trunk.read(item)
            file.write(hidden.astype(np.float16).tobytes())
            pooled[row] = hidden.mean(axis=0)
            if row % 256 == 0:
                progress("reading the texts", row / len(pieces))
    np.save(folder / _POOLED, pooled, allow_pickle=False)
    np.save(folder / _VECTORS, vectors, allow_pickle=False)
    np.save(folder / _OFFSETS, offsets, allow_pickle=False)


def read_states(folder: Path, width: int) -> States:
    """What :func:`write_states` wrote; mapped, not loaded."""
    offsets = np.load(folder / _OFFSETS, allow_pickle=False)
    shape = (int(offsets[-1]), width)
    pooled, vectors = (np.load(folder / name, allow_pickle=False) for name in (_POOLED, _VECTORS))
    values = np.memmap(folder / _STATES, np.float16, "r", shape=shape)
    return States(values, offsets, pooled, vectors)


def batches(lengths: npt.NDArray[np.int64], size: int, order: Sequence[int]) -> Iterator[list[int]]:
    """Rows in batches of like length, drawn from the shuffled ``order`` in large chunks."""
    chunk = size * 20
    found: list[list[int]] = []
    for start in range(0, len(order), chunk):
        rows = sorted(order[start : start + chunk], key=lambda row: int(lengths[row]))
        found += [rows[at : at + size] for at in range(0, len(rows), size)]
    # Without this, batches of a chunk would come from short to long.
    shuffled = np.random.default_rng(int(order[0])).permutation(len(found))
    yield from (found[int(place)] for place in shuffled)
