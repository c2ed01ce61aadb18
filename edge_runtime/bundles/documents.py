"""Small JSON documents that travel: written the one canonical way, read with strict bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.errors import ModelCorruptError

MAX_DOCUMENT_BYTES = 2**20
LATEST = 253_402_300_799
"""Seconds since 1970 at the end of the year 9999, the last that dates can be shown for."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A sha256 in hexadecimal."""


class Strict(BaseModel):
    """Base of document schemas: nothing unknown, nothing converted, nothing infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Document = TypeVar("Document", bound=Strict)


def canonical_json(value: Any) -> bytes:
    """The one JSON form of ``value``: keys sorted, no spaces, UTF-8; equal input, equal bytes."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def read_document(schema: type[Document], data: bytes, what: str) -> Document:
    """Parse untrusted JSON into ``schema``; ``what`` names it in errors.

    Raises:
        ModelCorruptError: too large, not JSON, or a field is missing, unknown or out of bounds.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ModelCorruptError(f"The {what} is larger than {MAX_DOCUMENT_BYTES} bytes.")
    try:
        return schema.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its start"
        raise ModelCorruptError(f"The {what} is wrong at {where}: {first['msg']}.") from error


def kept_document(schema: type[Document], path: Path, what: str) -> Document | None:
    """The document that this device keeps at ``path``; ``None`` where there is none yet.

    Raises:
        ModelCorruptError: it is damaged.
        StorageError: it cannot be read.
    """
    with storage_errors(path.parent):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    return read_document(schema, data, what)
