"""Making a file out of an older one and a delta, a few megabytes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from sync.delta.form import Bytes, DeltaError, Piece, read_header, rows, unpacked


def apply_delta(base: Path, delta: IO[bytes], size: int) -> Iterator[bytes]:
    """The blocks of the new file; the caller holds them against its signed hash.

    Memory stays below about 50 MB whatever the delta says.

    Args:
        base: the file the delta was made for.
        delta: as :func:`~sync.delta.making.make_delta` writes it.
        size: bytes of the new file; more are never produced.

    Raises:
        DeltaError: the delta is damaged, was made for another file, or makes another size.
    """
    pieces = read_header(delta)
    if sum(piece.length for piece in pieces) != size:
        raise DeltaError("it makes a file of another size")
    with base.open("rb") as old:
        for piece in pieces:
            yield _made(piece, old, delta)


def _made(piece: Piece, old: IO[bytes], delta: IO[bytes]) -> bytes:
    if piece.mode == "copy":
        return _read(old, piece.base, piece.length)
    payload = delta.read(piece.payload)
    if piece.mode == "new":
        return _unpacked(payload, piece.length)
    if piece.mode == "patch":
        return _unpacked(payload, piece.length, _read(old, piece.base, piece.reach))
    differences = np.frombuffer(_unpacked(payload, piece.length), np.uint8)
    before = np.frombuffer(_read(old, piece.base, piece.length), np.uint8)
    return add(before, rows(differences, piece.stride), piece.mode == "sub2").tobytes()


def add(before: Bytes, differences: Bytes, pairs: bool) -> Bytes:
    """Add byte by byte, or pair by pair, without carrying over."""
    kind = np.dtype("<u2" if pairs else "u1")
    total: Bytes = (before.view(kind) + differences.view(kind)).view(np.uint8)
    return total


def _read(old: IO[bytes], offset: int, length: int) -> bytes:
    old.seek(offset)
    data = old.read(length)
    if len(data) != length:
        raise DeltaError("it was made for another file")
    return data


def _unpacked(payload: bytes, length: int, dictionary: bytes = b"") -> bytes:
    data = unpacked(payload, length, dictionary)
    if len(data) != length:
        raise DeltaError("a payload has another size than stated")
    return data
