"""Small JSON documents that travel: written the one canonical way, read with strict bounds."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_runtime.errors import ModelCorruptError

MAX_DOCUMENT_BYTES = 2**20
LATEST = 253_402_300_799
"""Seconds since 1970 at the end of the year 9999, the last that dates can be shown for."""


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
