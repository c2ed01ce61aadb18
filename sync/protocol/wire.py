"""Messages as they go over the wire: zstd-compressed JSON, bounded before it is unpacked."""

from __future__ import annotations

import zstandard
from pydantic import ValidationError

from sync.protocol.base import ProtocolError, first_problem
from sync.protocol.records import Batch

MAX_BATCH_BYTES = 8 * 2**20
"""Of the JSON, before compression."""
MAX_BODY_BYTES = 4 * 2**20
"""Of what is sent, after compression."""
CONTENT_TYPE = "application/zstd"
_WINDOW_LOG_MAX_BYTES = 8 * 2**20


def encode_batch(batch: Batch) -> bytes:
    """The batch as it goes over the wire."""
    return compress(batch.model_dump_json().encode())


def compress(raw: bytes) -> bytes:
    # The checksum finds bits that flipped on a link without TLS.
    packer = zstandard.ZstdCompressor(level=6, write_content_size=True, write_checksum=True)
    return packer.compress(raw)


def decode_batch(body: bytes) -> Batch:
    """The batch in a request's body.

    Raises:
        ProtocolError: it is too large once unpacked, torn, or not a batch.
    """
    try:
        return Batch.model_validate_json(decompress(body, MAX_BATCH_BYTES))
    except ValidationError as error:
        raise ProtocolError(f"The batch is malformed: {first_problem(error)}.") from error


def decompress(body: bytes, limit: int) -> bytes:
    """Unpack zstd data, at most ``limit`` bytes of it: a bomb costs no more than that.

    Raises:
        ProtocolError: it is not zstd, torn, or larger than ``limit``.
    """
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LOG_MAX_BYTES)
    try:
        # As much as the frame says it holds is set aside for it, and no more is written there.
        size = zstandard.frame_content_size(body)
        if size > limit:
            raise ProtocolError(f"The body is larger than {limit} bytes once unpacked.")
        if size <= 0:  # nothing is unpacked, so nothing is checked, where a frame says it is empty
            raise ProtocolError("The body does not say how long its content is.")
        return unpacker.decompress(body, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ProtocolError("The body is not sound zstd data, or was cut short.") from error
