"""Where the tensors lie in a GGUF or ONNX file, for lining two of them up.

Only the publisher reads layouts; a device follows the delta. A file that is neither, or is damaged,
has no tensors, and its delta is merely larger.

Sources: the GGUF specification (ggml docs, version 3) and onnx.proto3 with the protocol buffers
encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from sync.delta.form import Bytes

_GGUF_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_GGUF_STRING, _GGUF_ARRAY = 8, 9
_GGUF_BLOCKS = {
    0: 4, 1: 2, 2: 18, 3: 20, 6: 22, 7: 24, 8: 34, 10: 84, 11: 110, 12: 144, 13: 176, 14: 210,
    15: 292, 20: 18, 23: 136, 30: 2,
}  # fmt: skip
"""Bytes of one quantisation block by ggml type: F32, F16, Q4_0, …, Q4_K (12), …, BF16 (30)."""
_ONNX_WIDTHS = {1: 4, 4: 2, 5: 2, 6: 4, 10: 2, 12: 4, 16: 2}
"""Bytes of one element by TensorProto.DataType; the others are bytes."""
_MAX_TENSORS = 100_000


@dataclass(frozen=True, slots=True)
class Region:
    """One tensor's bytes; ``stride`` is the width of one element or quantisation block."""

    name: str
    offset: int
    length: int
    stride: int


def regions(data: Bytes) -> list[Region]:
    """The tensors in the order they lie in the file; empty where it is of another kind."""
    try:
        found = _gguf(data) if data[:4].tobytes() == b"GGUF" else list(_onnx(data))
    except (struct.error, IndexError, KeyError, ValueError, OverflowError):
        return []
    found.sort(key=lambda region: region.offset)
    ends = [(a.offset + a.length, b.offset) for a, b in pairwise(found)]
    inside = all(r.offset >= 0 and r.offset + r.length <= len(data) for r in found)
    names = {region.name for region in found}
    sound = inside and len(names) == len(found) and all(end <= start for end, start in ends)
    return found if sound else []


class _Reader:
    def __init__(self, data: Bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def number(self, form: str) -> int:
        width = struct.calcsize(form)
        (value,) = struct.unpack(form, self.data[self.at : self.at + width].tobytes())
        self.at += width
        return int(value)

    def text(self) -> str:
        length = self.number("<Q")
        self.at += length
        return self.data[self.at - length : self.at].tobytes().decode()

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = int(self.data[self.at])
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("varint too long")


def _gguf(data: Bytes) -> list[Region]:
    reader = _Reader(data, 4)
    reader.number("<I")
    tensors, pairs = reader.number("<Q"), reader.number("<Q")
    if tensors > _MAX_TENSORS or pairs > _MAX_TENSORS:
        raise ValueError("too many")
    alignment = 32
    for _ in range(pairs):
        key = reader.text()
        kind = reader.number("<I")
        if key == "general.alignment" and kind == 4:
            alignment = reader.number("<I")
        else:
            _skip(reader, kind)
    infos = []
    for _ in range(tensors):
        name = reader.text()
        for _ in range(reader.number("<I")):
            reader.number("<Q")
        kind = reader.number("<I")
        infos.append((reader.number("<Q"), name, kind))
    start = -(-reader.at // alignment) * alignment
    infos.sort()
    ends = [offset for offset, _, _ in infos[1:]] + [len(data) - start]
    return [
        Region(name, start + offset, end - offset, _GGUF_BLOCKS.get(kind, 1))
        for (offset, name, kind), end in zip(infos, ends, strict=True)
    ]


def _skip(reader: _Reader, kind: int) -> None:
    if kind == _GGUF_STRING:
        reader.text()
    elif kind == _GGUF_ARRAY:
        inner, count = reader.number("<I"), reader.number("<Q")
        if inner in _GGUF_SCALARS:
            reader.at += _GGUF_SCALARS[inner] * count
        elif inner == _GGUF_STRING:
            for _ in range(count):
                reader.text()
        else:
            raise ValueError("nested array")
    elif kind in _GGUF_SCALARS:
        reader.at += _GGUF_SCALARS[kind]
    else:
        raise ValueError("unknown type")


def _onnx(data: Bytes) -> Iterator[Region]:
    for field, start, end in _fields(data, 0, len(data)):
        if field == 7:  # ModelProto.graph
            for inner, begin, stop in _fields(data, start, end):
                if inner == 5:  # GraphProto.initializer
                    yield from _initializer(data, begin, stop)


def _initializer(data: Bytes, start: int, end: int) -> Iterator[Region]:
    name, kind, raw = "", 0, (0, 0)
    for field, begin, stop in _fields(data, start, end):
        if field == 2:
            kind = begin
        elif field == 8:
            name = data[begin:stop].tobytes().decode()
        elif field == 9:
            raw = (begin, stop)
    if raw[1] > raw[0]:
        yield Region(name, raw[0], raw[1] - raw[0], _ONNX_WIDTHS.get(kind, 1))


def _fields(data: Bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field number with start and end of its bytes; a plain number is given as its start."""
    reader = _Reader(data, start)
    while reader.at < end:
        tag = reader.varint()
        wire = tag & 7
        if wire == 0:
            yield tag >> 3, reader.varint(), 0
            continue
        length = {1: 8, 5: 4}[wire] if wire != 2 else reader.varint()
        if reader.at + length > end:
            raise ValueError("field too long")
        yield tag >> 3, reader.at, reader.at + length
        reader.at += length
