"""Reader of ``e5-small-q4.bin``: multilingual-e5-small with 4-bit weights and its vocabulary.

A student's file has the same layout, rare pieces may come last with rows of 2 bits (version 3).

Layout (little endian): magic ``E5S1``, uint32 version; int32 hidden, layers, heads, feed-forward,
vocabulary, positions, token types; float32 LayerNorm epsilon; int32 quantisation block; int32
pieces and the ids of bos, eos, pad, unk; uint64 text length; uint32 offsets (pieces + 1); float32
scores; piece text; int32 normalisation entries and their uint32 length, each entry a uint32 code
point, uint8 count and uint32 replacements; int32 tensors, each uint16 name length, name, uint8
type (0 float32, 1 4-bit, 2 2-bit, 3 float16), uint32 elements, uint64 offset and uint64 bytes; the
data. Bits are laid out as :mod:`.rows` says. ``emb.word`` has the rows of the first pieces and
``emb.rare``, where there is one, those of the others less ``emb.rare.mean``.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_runtime.errors import ModelCorruptError, ModelMissingError
from edge_runtime.nlu.rows import (
    BLOCK,
    BLOCK_BYTES,
    FLOAT16,
    FLOAT32,
    FOUR_BITS,
    TWO_BITS,
    ByteArray,
    FloatArray,
    dequantize,
    dequantize_trellis,
    stored_bytes,
)

MAGIC: Final = b"E5S1"
WORD_ROWS: Final = "emb.word"
RARE_ROWS: Final = "emb.rare"
RARE_MEAN: Final = "emb.rare.mean"
_VERSIONS: Final = (1, 3)
_FLOATS: Final = {FLOAT32: "<f4", FLOAT16: "<f2"}
_MAX_FILE_BYTES: Final = 512 * 2**20
_MAX_PIECES: Final = 1_000_000
_MAX_PIECE_BYTES: Final = 255
_MAX_NORM: Final = 100_000
_MAX_TENSORS: Final = 1_000
_MAX_NAME_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the encoder, a BERT body with post-LayerNorm."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Unigram pieces in id order: views into the file, so that only what is asked for is read.

    ``offsets`` (count + 1) are byte positions in ``text``; ``scores`` (count) log probabilities.
    """

    count: int
    bos: int
    eos: int
    pad: int
    unk: int
    offsets: memoryview[int]
    scores: memoryview[float]
    text: memoryview[int]

    def piece(self, index: int) -> bytes:
        return self.text[self.offsets[index] : self.offsets[index + 1]].tobytes()


@dataclass(frozen=True, slots=True)
class _Tensor:
    dtype: int
    elements: int
    offset: int


class E5File:
    """The opened file; tensors are views into a memory map, read when they are used.

    Args:
        path: the model file.

    Raises:
        ModelMissingError: there is no such file.
        ModelCorruptError: it is not this format, is truncated, or a size in it is impossible.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise ModelMissingError(f"Encoder file {path} is missing.") from error
        except (OSError, ValueError) as error:
            raise self._corrupt(f"cannot be mapped: {error}") from error
        if len(self._map) > _MAX_FILE_BYTES:
            raise self._corrupt("is larger than any encoder of this format")
        self._data: ByteArray = np.frombuffer(self._map, dtype=np.uint8)
        self._at = 0
        try:
            self.shape = self._read_shape()
            self.vocabulary = self._read_vocabulary()
            self.normalization: Mapping[int, str] = self._read_normalization()
            self._tensors = self._read_directory()
        except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
            raise self._corrupt(f"is truncated or garbled: {error}") from error

    def words(self, ids: Sequence[int]) -> FloatArray:
        """Rows of the pieces ``ids``, float32 of shape (len(ids), hidden).

        They are read, not mapped: a fault would bring in 64 KiB around each row of 98 or 216 bytes,
        and the word table would settle in memory.

        Raises:
            ModelCorruptError: the table is missing or has no such row.
        """
        width, places = self.shape.hidden, np.asarray(ids)
        common = self._tensors.get(WORD_ROWS)
        count = common.elements // width if common else 0
        rows = np.empty((len(ids), width), np.float32)
        fine = places < count
        raw = self._raw(WORD_ROWS, FOUR_BITS, places[fine].tolist())
        rows[fine] = dequantize(raw.reshape(-1, width // BLOCK, BLOCK_BYTES))
        if not fine.all():
            raw = self._raw(RARE_ROWS, TWO_BITS, (places[~fine] - count).tolist())
            rows[~fine] = dequantize_trellis(raw) + self.floats(RARE_MEAN, width)
        return rows

    def _raw(self, name: str, kind: int, indexes: Sequence[int]) -> ByteArray:
        """Rows as they are stored, uint8 of shape (len(indexes), bytes of a row)."""
        tensor, width = self._tensors.get(name), self.shape.hidden
        size = stored_bytes(kind, width, width)
        within = tensor is not None and all(0 <= i < tensor.elements // width for i in indexes)
        if tensor is None or tensor.dtype != kind or not within:
            raise self._corrupt("lacks the rows of its pieces")
        try:
            raw = b"".join(
                os.pread(self._file.fileno(), size, tensor.offset + index * size)
                for index in indexes
            )
        except OSError as error:
            raise self._corrupt(f"cannot be read: {error.strerror}") from error
        if len(raw) != size * len(indexes):
            raise self._corrupt("was cut short while in use")
        return np.frombuffer(raw, np.uint8).reshape(len(indexes), size)

    def close(self) -> None:
        """Close the descriptor; the map goes when nothing refers to it any more."""
        self._file.close()

    def floats(self, name: str, *shape: int) -> FloatArray:
        """A tensor of floats as a float32 array of ``shape``.

        Raises:
            ModelCorruptError: it is missing, of another type or of another size.
        """
        tensor = self._tensor(name, _FLOATS, int(np.prod(shape)))
        flat = np.frombuffer(self._map, _FLOATS[tensor.dtype], tensor.elements, tensor.offset)
        return flat.astype(np.float32, copy=False).reshape(shape)

    def blocks(self, name: str, rows: int, columns: int) -> ByteArray:
        """A 4-bit tensor as raw blocks, uint8 of shape (rows, columns / 32, 18).

        Raises:
            ModelCorruptError: it is missing, of another type or of another size.
        """
        tensor = self._tensor(name, (FOUR_BITS,), rows * columns)
        size = stored_bytes(FOUR_BITS, tensor.elements, columns)
        raw = self._data[tensor.offset : tensor.offset + size]
        return raw.reshape(rows, columns // BLOCK, BLOCK_BYTES)

    def _corrupt(self, what: str) -> ModelCorruptError:
        return ModelCorruptError(
            f"Encoder file {self.path.name} {what}.",
            hint="Run 'edge-runtime models verify' and pull the model again.",
        )

    def _unpack(self, fmt: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + fmt, self._map, self._at)
        self._at += struct.calcsize("<" + fmt)
        return values

    def _skip(self, size: int) -> int:
        start = self._at
        if size < 0 or start + size > len(self._map):
            raise self._corrupt("is truncated")
        self._at += size
        return start

    def _read_shape(self) -> Shape:
        magic, version = self._unpack("4sI")
        if magic != MAGIC or version not in _VERSIONS:
            raise self._corrupt("is not an E5S1 file of version 1 or 3")
        hidden, layers, heads, forward, words, positions, types = self._unpack("7i")
        (epsilon,) = self._unpack("f")
        (block,) = self._unpack("i")
        shape = Shape(hidden, layers, heads, forward, words, positions, types, epsilon)
        possible = (
            block == BLOCK
            and 0 < hidden <= 4096
            and hidden % BLOCK == 0
            and 0 < heads <= 64
            and hidden % heads == 0
            and 0 < layers <= 48
            and 0 < forward <= 16384
            and forward % BLOCK == 0
            and 0 < words <= _MAX_PIECES
            and 2 < positions <= 8192
            and 0 < types <= 16
            and 0 < epsilon < 1
        )
        if not possible:
            raise self._corrupt("has impossible sizes in its header")
        return shape

    def _read_vocabulary(self) -> Vocabulary:
        count, *specials = self._unpack("5i")
        (length,) = self._unpack("Q")
        if not 0 < count <= self.shape.vocabulary or not all(0 <= i < count for i in specials):
            raise self._corrupt("has an impossible vocabulary")
        if len(set(specials)) != len(specials):
            raise self._corrupt("gives two special pieces one id")
        whole = memoryview(self._map)
        start = self._skip(4 * (count + 1))
        offsets = whole[start : self._at].cast("I")
        start = self._skip(4 * count)
        scores = whole[start : self._at].cast("f")
        start = self._skip(length)
        text = whole[start : self._at]
        sizes = np.diff(np.asarray(offsets).astype(np.int64))
        if offsets[0] or offsets[-1] != length or sizes.min() < 1 or sizes.max() > _MAX_PIECE_BYTES:
            raise self._corrupt("has impossible piece offsets")
        if not np.isfinite(np.asarray(scores)).all():
            raise self._corrupt("has piece scores that are not numbers")
        bos, eos, pad, unk = specials
        return Vocabulary(count, bos, eos, pad, unk, offsets, scores, text)

    def _read_normalization(self) -> Mapping[int, str]:
        count, size = self._unpack("iI")
        if not 0 <= count <= _MAX_NORM:
            raise self._corrupt("has an impossible normalisation map")
        end = self._skip(size) + size
        self._at = end - size
        table: dict[int, str] = {}
        for _ in range(count):
            point, length = self._unpack("IB")
            replacement = self._unpack(f"{length}I")
            if self._at > end or max((point, *replacement)) > 0x10FFFF:
                raise self._corrupt("has an impossible normalisation map")
            table[point] = "".join(map(chr, replacement))
        if self._at != end:
            raise self._corrupt("has an impossible normalisation map")
        return table

    def _read_directory(self) -> Mapping[str, _Tensor]:
        (count,) = self._unpack("i")
        if not 0 < count <= _MAX_TENSORS:
            raise self._corrupt("has an impossible tensor directory")
        tensors: dict[str, _Tensor] = {}
        for _ in range(count):
            (length,) = self._unpack("H")
            if length > _MAX_NAME_BYTES:
                raise self._corrupt("has a tensor name that is too long")
            start = self._skip(length)
            name = self._map[start : start + length].decode("ascii")
            dtype, elements, offset, size = self._unpack("BIQQ")
            if size != stored_bytes(dtype, elements, self.shape.hidden) or offset + size > len(
                self._map
            ):
                raise self._corrupt(f"has a tensor '{name}' outside the file")
            tensors[name] = _Tensor(dtype, elements, offset)
        return tensors

    def _tensor(self, name: str, kinds: Container[int], elements: int) -> _Tensor:
        tensor = self._tensors.get(name)
        if tensor is None or tensor.dtype not in kinds or tensor.elements != elements:
            raise self._corrupt(f"lacks tensor '{name}' of the right size")
        return tensor
