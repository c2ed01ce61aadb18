"""How a delta is written: a header that lists pieces of the result in order, then their payloads.

::

    "EDT1", length of the header (4 bytes, little-endian), header, payloads one after the other

The header is zstd-compressed JSON: ``[[mode, length, base, reach, stride, payload], …]``. A piece
of ``length`` bytes is

- ``copy``: the base's bytes at ``base``;
- ``new``: its payload, decompressed;
- ``patch``: its payload, decompressed with the base's ``reach`` bytes at ``base`` as dictionary;
- ``sub``: its payload, decompressed, each byte added modulo 256 to the base's at ``base``;
- ``sub2``: the same for pairs of bytes as little-endian numbers modulo 65536.

The payload of the last two is written column by column of rows ``stride`` bytes wide, so that equal
parts of a quantisation block, such as all scales, lie together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import IO, Literal, get_args

import numpy as np
import zstandard
from numpy.typing import NDArray

MAGIC = b"EDT1"
PIECE_BYTES = 8 * 2**20
REACH_BYTES = 4 * 2**20
_MAX_HEADER_BYTES = 32 * 2**20
_MAX_PIECES = 500_000
_MAX_WINDOW_BYTES = 2**25

Mode = Literal["copy", "new", "patch", "sub", "sub2"]
Bytes = NDArray[np.uint8]


class DeltaError(ValueError):
    """The delta is damaged or made for another file; fetch the whole file instead."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of the result; see the module. Lengths and offsets in bytes."""

    mode: Mode
    length: int
    base: int = 0
    reach: int = 0
    stride: int = 1
    payload: int = 0


def write_header(pieces: Sequence[Piece]) -> bytes:
    """The start of a delta."""
    listed = json.dumps([astuple(piece) for piece in pieces], separators=(",", ":"))
    packed = zstandard.ZstdCompressor(level=19).compress(listed.encode())
    return MAGIC + len(packed).to_bytes(4, "little") + packed


def read_header(file: IO[bytes]) -> list[Piece]:
    """The pieces of a delta that anybody may have written.

    Raises:
        DeltaError: it is not a delta, or one with bounds that no file of ours has.
    """
    start = file.read(8)
    if start[:4] != MAGIC or len(start) != 8:
        raise DeltaError("not a delta")
    packed = file.read(min(int.from_bytes(start[4:], "little"), _MAX_HEADER_BYTES))
    text = unpacked(packed, _MAX_HEADER_BYTES)
    try:
        pieces = [Piece(*row) for row in json.loads(text)]
    except (ValueError, TypeError, RecursionError) as error:
        raise DeltaError("its header is damaged") from error
    if len(pieces) > _MAX_PIECES or not all(map(_sound, pieces)):
        raise DeltaError("its header is out of bounds")
    return pieces


def unpacked(payload: bytes, limit: int, dictionary: bytes = b"") -> bytes:
    """Decompress at most ``limit`` bytes and use little memory, whatever the frame claims.

    Raises:
        DeltaError: it is damaged or longer.
    """
    words = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    unpacker = zstandard.ZstdDecompressor(
        dict_data=words if dictionary else None, max_window_size=_MAX_WINDOW_BYTES
    )
    try:
        # Through a reader, because decompress() allocates the size that the frame claims.
        with unpacker.stream_reader(payload) as stream:
            data: bytes = stream.read(limit + 1)
    except zstandard.ZstdError as error:
        raise DeltaError("it is damaged") from error
    if len(data) > limit:
        raise DeltaError("it unpacks to more than stated")
    return data


def columns(rows: Bytes, stride: int) -> Bytes:
    """Rows of ``stride`` bytes, written column by column; a remainder stays at the end."""
    whole = len(rows) // stride * stride
    turned = rows[:whole].reshape(-1, stride).T.reshape(-1)
    return np.concatenate([turned, rows[whole:]])


def rows(turned: Bytes, stride: int) -> Bytes:
    """Undo :func:`columns`."""
    whole = len(turned) // stride * stride
    back = turned[:whole].reshape(stride, -1).T.reshape(-1)
    return np.concatenate([back, turned[whole:]])


def _sound(piece: Piece) -> bool:
    numbers = (piece.length, piece.base, piece.reach, piece.stride, piece.payload)
    return (
        piece.mode in get_args(Mode)
        and all(type(number) is int and 0 <= number < 2**40 for number in numbers)
        and piece.length <= PIECE_BYTES
        and piece.reach <= PIECE_BYTES + 2 * REACH_BYTES
        and 1 <= piece.stride <= 4096
        and piece.payload <= 2 * PIECE_BYTES
        and (piece.mode != "sub2" or piece.length % 2 == 0)
    )
