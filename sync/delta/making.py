"""Making a delta: each tensor against the one of the same name, whichever way is smallest."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zstandard

from edge_runtime.files import atomic_writer
from sync.delta.form import PIECE_BYTES, REACH_BYTES, Bytes, Mode, Piece, columns, write_header
from sync.delta.layout import Region, regions

_LEVEL = 15


def make_delta(base: Path, target: Path, out: Path) -> int:
    """Write at ``out`` how to make ``target`` from ``base``.

    Files that are neither GGUF nor ONNX are compared place by place.

    Returns:
        Bytes of the delta.

    Raises:
        OSError: a file cannot be read or written.
    """
    pieces: list[Piece] = []
    payloads = out.with_name(f".{out.name}.payloads")
    try:
        with _mapped(base) as old, _mapped(target) as new, payloads.open("wb") as store:
            for piece, payload in _pieces(old, new):
                pieces.append(piece)
                store.write(payload)
        with payloads.open("rb") as store, atomic_writer(out) as file:
            file.write(write_header(pieces))
            while block := store.read(PIECE_BYTES):
                file.write(block)
    finally:
        payloads.unlink(missing_ok=True)
    return out.stat().st_size


def _pieces(old: Bytes, new: Bytes) -> Iterator[tuple[Piece, bytes]]:
    known = {region.name: region for region in regions(old)}
    at, shift = 0, 0
    for region in regions(new):
        yield from _opaque(old, new, at, region.offset, shift)
        twin = known.get(region.name)
        if twin is not None and twin.length == region.length:
            yield from _tensor(old, new, region, twin.offset)
            shift = twin.offset - region.offset
        else:
            yield from _opaque(old, new, region.offset, region.offset + region.length, shift)
        at = region.offset + region.length
    yield from _opaque(old, new, at, len(new), shift)


def _tensor(old: Bytes, new: Bytes, region: Region, base: int) -> Iterator[tuple[Piece, bytes]]:
    step = max(PIECE_BYTES // region.stride // 2, 1) * region.stride * 2
    for start in range(0, region.length, step):
        length = min(step, region.length - start)
        before = old[base + start : base + start + length]
        after = new[region.offset + start : region.offset + start + length]
        yield _smallest(before, after, base + start, region.stride)


def _smallest(before: Bytes, after: Bytes, base: int, stride: int) -> tuple[Piece, bytes]:
    length = len(after)
    if np.array_equal(before, after):
        return Piece("copy", length, base), b""
    ways: list[tuple[Mode, bytes]] = [
        ("new", _packed(after.tobytes())),
        ("sub", _packed(columns(after - before, stride).tobytes())),
    ]
    if stride % 2 == 0 and length % 2 == 0:
        pairs = (_pairs(after) - _pairs(before)).view(np.uint8)
        ways.append(("sub2", _packed(columns(pairs, stride).tobytes())))
    mode, payload = min(ways, key=lambda way: len(way[1]))
    return Piece(mode, length, base, 0, stride, len(payload)), payload


def _opaque(
    old: Bytes, new: Bytes, start: int, end: int, shift: int
) -> Iterator[tuple[Piece, bytes]]:
    """What is no tensor: compressed with the base's bytes around the same place to refer to."""
    for at in range(start, end, PIECE_BYTES):
        length = min(PIECE_BYTES, end - at)
        base = min(max(at + shift - REACH_BYTES, 0), len(old))
        reach = min(at + shift + length + REACH_BYTES, len(old)) - base
        after = new[at : at + length].tobytes()
        plain = _packed(after)
        patch = _packed(after, old[base : base + reach].tobytes()) if reach > 0 else plain
        if len(patch) < len(plain):
            yield Piece("patch", length, base, reach, 1, len(patch)), patch
        else:
            yield Piece("new", length, 0, 0, 1, len(plain)), plain


def _pairs(data: Bytes) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    return np.frombuffer(data.tobytes(), "<u2")


def _packed(data: bytes, dictionary: bytes = b"") -> bytes:
    words = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    packer = zstandard.ZstdCompressor(level=_LEVEL, dict_data=words if dictionary else None)
    return packer.compress(data)


@contextmanager
def _mapped(path: Path) -> Iterator[Bytes]:
    with path.open("rb") as file:
        if not path.stat().st_size:
            yield np.empty(0, np.uint8)
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            # Copied: a view would keep the map from being closed.
            yield np.frombuffer(whole, np.uint8).copy()
