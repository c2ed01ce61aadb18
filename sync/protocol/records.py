"""What a device sends up: records of one stream in a batch, and the server's acknowledgement."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from sync.protocol.base import Id, Model, Probability, Seq, Short, Text, Time, first_problem

MAX_RECORDS = 1_000
MAX_PAYLOAD_BYTES = 512 * 1024
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class TurnFacts(Model):
    """What every record about a turn carries. ``session`` is a pseudonym."""

    turn_id: Id
    session: Id
    started_at: Time
    language: Short
    source: Short
    intent: Short
    sentiment: Short
    decision: Short
    outcome: Short
    timings_ms: Annotated[dict[Short, float], Field(max_length=64)] = Field({})
    runtime_version: Short = ""
    pack: Short = ""


class Exchange(Model):
    text: Text
    reply: Text


class EntityValue(Model):
    type: Short
    value: Text = ""
    text: Text = ""


class TurnPayload(TurnFacts):
    """A whole turn, redacted on the device."""

    user: Short = ""
    text: Text
    transcript: Text = ""
    ocr_text: Text = ""
    normalized: Text = ""
    intent_confidence: Probability | None = None
    entities: Annotated[list[EntityValue], Field(max_length=64)] = Field([])
    confidence: Probability | None = None
    reason: Text = ""
    reply: Text
    sources: Annotated[list[Text], Field(max_length=64)] = Field([])
    blocked: Annotated[list[Text], Field(max_length=64)] = Field([])
    models: Annotated[dict[Short, Short], Field(max_length=64)] = Field({})
    error: Text = ""


class MetricPayload(TurnFacts):
    """Figures of a turn, nothing the customer said."""

    blocked_count: Annotated[int, Field(ge=0)] = 0


class EscalationPayload(TurnFacts):
    """A request for a person."""

    user: Short = ""
    text: Text
    reply: Text = ""
    reason: Text = ""
    confidence: Probability | None = None
    history: Annotated[list[Exchange], Field(max_length=32)] = Field([])


class AuditPayload(Model):
    """Something that happened to the device itself."""

    event: Id
    at: Time
    detail: Annotated[dict[Short, Text], Field(max_length=64)] = Field({})


class DroppedPayload(Model):
    """A record the device gave up (``reason`` "cap") or could not deliver ("quarantined")."""

    kind: Short
    reason: Short


PAYLOADS: dict[str, type[Model]] = {
    "turn": TurnPayload,
    "metric": MetricPayload,
    "escalation": EscalationPayload,
    "audit": AuditPayload,
    "dropped": DroppedPayload,
}


class Record(Model):
    """One record; its payload is checked on its own, so that a bad one spoils no other."""

    seq: Seq
    kind: Annotated[str, Field(min_length=1, max_length=32, pattern="^[a-z_]+$")]
    created_at: Time
    payload: dict[str, Any]


class Batch(Model):
    """Records of one stream, in any order."""

    protocol: Literal[1]
    device_id: Id
    stream: Id
    sent_at: Time
    records: Annotated[list[Record], Field(max_length=MAX_RECORDS)]


class Refused(Model):
    """A record the server has set aside; it will not be asked for again."""

    seq: Seq
    reason: Short


class Ack(Model):
    """The server's answer, after its commit.

    Every number up to ``contiguous`` is accounted for; ``stored`` lists the batch's own numbers
    that are, whether or not the ones before them have arrived.
    """

    protocol: Literal[1]
    stream: Id
    contiguous: Annotated[int, Field(ge=0)]
    stored: Annotated[list[Seq], Field(max_length=MAX_RECORDS)]
    quarantined: Annotated[list[Refused], Field(max_length=MAX_RECORDS)] = Field([])


def check_payload(kind: str, payload: dict[str, Any], *, size: int | None = None) -> str:
    """What is wrong with a record's payload, or "" when it may be kept.

    A kind this version does not know is kept as it is: a newer device may send more kinds.

    Args:
        size: characters of the payload's :func:`payload_text`, where it was made already.
    """
    # As ASCII it is never shorter than as UTF-8, whose bytes are what is bounded.
    if size is None or size > MAX_PAYLOAD_BYTES:
        size = len(json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace"))
    if size > MAX_PAYLOAD_BYTES:
        return "payload too large"
    model = PAYLOADS.get(kind)
    if model is None:
        return ""
    try:
        model.model_validate(payload)
    except ValidationError as error:
        return first_problem(error)
    return ""


def payload_text(payload: dict[str, Any]) -> str:
    """A payload's one form as text: ASCII, keys sorted, no spaces."""
    return _CANONICAL.encode(payload)


def digest(kind: str, payload: dict[str, Any]) -> str:
    """sha256 of a record's content: tells a record sent again from another with its number."""
    return digest_of(kind, payload_text(payload))


def digest_of(kind: str, text: str) -> str:
    """:func:`digest` of a payload whose :func:`payload_text` was made already."""
    return hashlib.sha256(f"[{json.dumps(kind)},{text}]".encode()).hexdigest()


def contiguous_after(start: int, present: Iterable[int]) -> int:
    """The highest number reachable from ``start`` without a gap; ``present`` is sorted."""
    for seq in present:
        if seq > start + 1:
            break
        start = max(start, seq)
    return start
