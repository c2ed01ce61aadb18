"""Reads the header of a GGUF file without trusting it (ggml's ``docs/gguf.md``, versions 2 and 3).

llama.cpp aborts the process on some damaged files. Here every count and length is bounded before
anything is read, and every tensor must lie inside the file.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from converters.errors import ModelFileError
from converters.formats import refuse_pickle

Scalar = int | float | bool | str

MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_MAX_TENSORS: Final = 100_000
_MAX_KEYS: Final = 100_000
_MAX_KEY_BYTES: Final = 65_535
_MAX_STRING_BYTES: Final = 4 * 2**20
_MAX_ARRAY_ITEMS: Final = 4_000_000
_MAX_HEADER_BYTES: Final = 512 * 2**20
_MAX_ARRAY_DEPTH: Final = 2
_MAX_DIMENSIONS: Final = 4
_MAX_ALIGNMENT: Final = 2**16

_SCALARS: Final[Mapping[int, str]] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING: Final = 8
_ARRAY: Final = 9

# Tensor type → name, weights in a block, bytes of a block.
_TYPES: Final[Mapping[int, tuple[str, int, int]]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
TYPE_IDS: Final[Mapping[str, int]] = {name: number for number, (name, _, _) in _TYPES.items()}
"""ggml's number of each tensor type, by name."""

_UNQUANTISED: Final = frozenset({"F64", "F32", "F16", "BF16"})
_FOUR_BIT: Final = frozenset({"Q4_0", "Q4_1", "Q4_K", "IQ4_NL", "IQ4_XS", "MXFP4"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its type's name, number of weights, and where its ``size`` bytes start.

    ``shape`` has the columns (inputs) first, as the file has.
    """

    name: str
    type: str
    weights: int
    offset: int
    size: int
    shape: tuple[int, ...]

    @property
    def columns(self) -> int:
        return self.shape[0]

    @property
    def matrix(self) -> bool:
        """Whether it has several rows: only such are quantised."""
        return len(self.shape) > 1


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself; ``metadata`` leaves arrays (the vocabulary) out.

    Tensors' offsets count from ``data_start``.
    """

    version: int
    metadata: Mapping[str, Scalar]
    tensors: tuple[Tensor, ...]
    data_start: int

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def licence(self) -> str:
        return str(self.metadata.get("general.license", ""))

    @property
    def weights(self) -> int:
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def tensor_types(self) -> dict[str, int]:
        """How many tensors there are of each type, most first."""
        return dict(Counter(tensor.type for tensor in self.tensors).most_common())

    @property
    def quantised(self) -> bool:
        """Whether any tensor has fewer than 16 bits a weight."""
        return any(tensor.type not in _UNQUANTISED for tensor in self.tensors)

    @property
    def four_bit_share(self) -> float:
        """Share of the weights that are stored in 4 bits, in [0, 1]."""
        stored = sum(tensor.weights for tensor in self.tensors if tensor.type in _FOUR_BIT)
        return stored / max(1, self.weights)


def bytes_per_weight(type_name: str) -> float:
    """Bytes that a weight of this type takes."""
    _, block, block_bytes = _TYPES[TYPE_IDS[type_name]]
    return block_bytes / block


def read_header(path: Path) -> GgufHeader:
    """Read and check the header of the GGUF file at ``path``.

    Raises:
        ModelFileError: missing, a pickle, no GGUF, damaged, or cut short.
    """
    refuse_pickle(path)
    try:
        with path.open("rb") as file:
            return _Reader(file, path).header()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


class _Reader:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._size = path.stat().st_size

    def header(self) -> GgufHeader:
        if self._file.read(4) != MAGIC:
            raise ModelFileError(
                f"{self._path} is not a GGUF file.",
                hint="A folder of safetensors has to be converted to GGUF first.",
            )
        version = self._number("I")
        if version not in _VERSIONS:
            raise ModelFileError(
                f"{self._path} is GGUF version {version}; versions 2 and 3 are read."
            )
        tensor_count = self._count("Q", _MAX_TENSORS, "tensors")
        key_count = self._count("Q", _MAX_KEYS, "metadata keys")
        metadata: dict[str, Scalar] = {}
        for _ in range(key_count):
            key = self._string(_MAX_KEY_BYTES)
            value = self._value(self._number("I"), 0)
            if value is not None:
                metadata[key] = value
        infos = [self._tensor_info() for _ in range(tensor_count)]
        if not infos:
            raise self._damaged("it holds no tensors")
        alignment = self._alignment(metadata)
        start = -(-self._file.tell() // alignment) * alignment
        return GgufHeader(version, metadata, self._placed(infos, start, alignment), start)

    def _alignment(self, metadata: Mapping[str, Scalar]) -> int:
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= _MAX_ALIGNMENT or alignment % 8:
            raise self._damaged("its alignment is impossible")
        return alignment

    def _tensor_info(self) -> Tensor:
        name = self._string(_MAX_KEY_BYTES)
        dimensions = self._count("I", _MAX_DIMENSIONS, f"dimensions of tensor '{name}'")
        shape = [self._number("Q") for _ in range(dimensions)]
        weights = math.prod(shape)
        kind = self._number("I")
        if kind not in _TYPES:
            raise self._damaged(f"tensor '{name}' has the unknown type {kind}")
        type_name, block, block_bytes = _TYPES[kind]
        if not shape or shape[0] % block or not 0 < weights <= self._size * 8:
            raise self._damaged(f"tensor '{name}' has an impossible shape")
        offset, size = self._number("Q"), weights // block * block_bytes
        return Tensor(name, type_name, weights, offset, size, tuple(shape))

    def _placed(self, infos: list[Tensor], start: int, alignment: int) -> tuple[Tensor, ...]:
        if len({tensor.name for tensor in infos}) != len(infos):
            raise self._damaged("two tensors share a name")
        end = start
        for tensor in sorted(infos, key=lambda tensor: tensor.offset):
            if tensor.offset % alignment or start + tensor.offset < end:
                raise self._damaged(f"tensor '{tensor.name}' overlaps another")
            end = start + tensor.offset + tensor.size
        if end > self._size:
            raise ModelFileError(
                f"{self._path} is cut short: {end} bytes are needed, {self._size} are there.",
                hint="Copy or download it again.",
            )
        return tuple(infos)

    def _value(self, kind: int, depth: int) -> Scalar | None:
        if kind == _STRING:
            return self._string(_MAX_STRING_BYTES)
        if kind == _ARRAY:
            self._skip_array(depth + 1)
            return None
        if kind not in _SCALARS:
            raise self._damaged(f"its metadata has a value of the unknown type {kind}")
        value: Scalar = self._unpack(_SCALARS[kind])
        return value

    def _skip_array(self, depth: int) -> None:
        kind = self._number("I")
        count = self._count("Q", _MAX_ARRAY_ITEMS, "items of an array")
        if depth > _MAX_ARRAY_DEPTH:
            raise self._damaged("its metadata is nested too deeply")
        if kind in _SCALARS:
            self._read(count * struct.calcsize(f"<{_SCALARS[kind]}"))
            return
        for _ in range(count):
            self._value(kind, depth)

    def _string(self, limit: int) -> str:
        length = self._count("Q", limit, "bytes of a text")
        # Vocabularies hold single bytes of split characters: not everything is valid UTF-8.
        return self._read(length).decode("utf-8", errors="replace")

    def _count(self, code: str, limit: int, what: str) -> int:
        count = self._number(code)
        if count > limit:
            raise self._damaged(f"it claims {count} {what}")
        return count

    def _number(self, code: str) -> int:
        return int(self._unpack(code))

    def _unpack(self, code: str) -> int | float | bool:
        layout = struct.Struct(f"<{code}")
        value: int | float | bool = layout.unpack(self._read(layout.size))[0]
        return value

    def _read(self, count: int) -> bytes:
        if self._file.tell() + count > _MAX_HEADER_BYTES:
            raise self._damaged("its header is absurdly long")
        data = self._file.read(count)
        if len(data) != count:
            raise ModelFileError(
                f"{self._path} is cut short inside its header.", hint="Copy or download it again."
            )
        return data

    def _damaged(self, reason: str) -> ModelFileError:
        return ModelFileError(
            f"{self._path} is damaged: {reason}.", hint="Copy or download it again."
        )
