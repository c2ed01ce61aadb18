"""A customer's rights on the way up: to be forgotten, and to see what is kept."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from edge_runtime.bundles.documents import Digest
from sync.protocol.base import Model
from sync.protocol.records import MAX_RECORDS

PSEUDONYM: Final = re.compile(
    r"\[(?:USER:[0-9a-f]{16}|(?:PHONE|EMAIL|ACCOUNT|ID|CARD|IBAN|PLATE|ORDER):[0-9a-f]{8})\]"
)
"""What may name a person to be erased: an id, or what is one person's alone."""
Pseudonym = Annotated[str, Field(pattern=rf"^{PSEUDONYM.pattern}$")]
Pseudonyms = Annotated[list[Pseudonym], Field(min_length=1, max_length=32)]


class EraseRequest(Model):
    """Persons whose records are to go. ``receipt`` is the sender's own, kept by its sha256; the
    same one asks for the same erasure."""

    protocol: Literal[1]
    pseudonyms: Pseudonyms
    receipt: Annotated[str, Field(min_length=1, max_length=8_000)]


class EraseAnswer(Model):
    """The server's receipt and its sha256; the receipt names the sha256 of the one before."""

    receipt: Annotated[str, Field(min_length=1, max_length=8_000)]
    digest: Digest


class PersonRequest(Model):
    """Asks for what is kept of a person, a page at a time: ``after`` comes from the last page."""

    protocol: Literal[1]
    pseudonyms: Pseudonyms
    after: Annotated[str, Field(max_length=400)] = ""


class PersonAnswer(Model):
    """Records as they are kept; ``after`` is empty on the last page."""

    records: Annotated[list[dict[str, Any]], Field(max_length=MAX_RECORDS)]
    after: Annotated[str, Field(max_length=400)] = ""
