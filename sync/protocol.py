"""What device and server say to each other: version 1 of the upload protocol.

A device sends a :class:`Batch` of records as zstd-compressed JSON; the server commits it and
answers with an :class:`Ack`. Records are told apart by (device, stream, seq): ``seq`` counts 1, 2,
3, … without gaps within a ``stream``, which names one journal database. Sending a record again is
harmless. Records may arrive in any order; what the device gave up arrives as kind ``dropped``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import zstandard
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_runtime.errors import InputError

PROTOCOL: Final = 1
MAX_RECORDS = 1_000
MAX_PAYLOAD_BYTES = 512 * 1024
MAX_BATCH_BYTES = 8 * 2**20
"""Of the JSON, before compression."""
MAX_BODY_BYTES = 4 * 2**20
"""Of what is sent, after compression."""
CONTENT_TYPE = "application/zstd"
_WINDOW_LOG_MAX_BYTES = 8 * 2**20
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

Id = Annotated[str, Field(min_length=1, max_length=128)]
Short = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=10_000)]
Time = Annotated[str, Field(max_length=40)]
Probability = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seq = Annotated[int, Field(ge=1, le=2**53)]


class ProtocolError(InputError):
    """What the other side sent is not this protocol: too big, torn, or malformed."""


class Model(BaseModel):
    """Unknown fields are ignored: a newer device may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True)


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
    timings_ms: Annotated[dict[Short, float], Field(max_length=64)] = {}
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
    entities: Annotated[list[EntityValue], Field(max_length=64)] = []
    confidence: Probability | None = None
    reason: Text = ""
    reply: Text
    sources: Annotated[list[Text], Field(max_length=64)] = []
    blocked: Annotated[list[Text], Field(max_length=64)] = []
    models: Annotated[dict[Short, Short], Field(max_length=64)] = {}
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
    history: Annotated[list[Exchange], Field(max_length=32)] = []


class AuditPayload(Model):
    """Something that happened to the device itself."""

    event: Id
    at: Time
    detail: Annotated[dict[Short, Text], Field(max_length=64)] = {}


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
    quarantined: Annotated[list[Refused], Field(max_length=MAX_RECORDS)] = []


class Refusal(Model):
    """The body of every error answer. Its ``protocol`` tells the server's own verdict on a batch
    from one by a proxy in between, on which nothing may be given up."""

    protocol: Literal[1]
    error: Short


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
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PersonRequest(Model):
    """Asks for what is kept of a person, a page at a time: ``after`` comes from the last page."""

    protocol: Literal[1]
    pseudonyms: Pseudonyms
    after: Annotated[str, Field(max_length=400)] = ""


class PersonAnswer(Model):
    """Records as they are kept; ``after`` is empty on the last page."""

    records: Annotated[list[dict[str, Any]], Field(max_length=MAX_RECORDS)]
    after: Annotated[str, Field(max_length=400)] = ""


class EnrollRequest(Model):
    """A device's one-time code and the id it goes by."""

    code: Annotated[str, Field(min_length=8, max_length=64)]
    device_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class EnrollAnswer(Model):
    """The device's credential, at enrolment or rotation; the server keeps only its hash."""

    device_id: Id
    token: Annotated[str, Field(min_length=16, max_length=256)]


class Running(Model):
    """The bundle in a device's active slot: what it found there and started, by its hash."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[str, Field(min_length=1, max_length=64)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class UpdateReport(Model):
    """How far a device is with the update it was offered; sent with every poll until it is over.

    ``reason`` and ``evidence`` say why an update failed or was rolled back.
    """

    rollout: Annotated[int, Field(ge=1, le=2**53)]
    state: Literal["installing", "probation", "committed", "rolled_back", "failed"]
    reason: Annotated[str, Field(max_length=500)] = ""
    evidence: Annotated[dict[Short, Finite | Short | None], Field(max_length=64)] = {}


class Poll(Model):
    """A device's question what it should run. ``running`` is ``None`` while it has no bundle."""

    protocol: Literal[1]
    running: Running | None = None
    update: UpdateReport | None = None


class Offer(Model):
    """A release this device may install; ``target`` is its manifest's path in the update
    repository, whose signatures decide, not this offer."""

    rollout: Annotated[int, Field(ge=1, le=2**53)]
    name: Short
    version: Short
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    target: Annotated[str, Field(max_length=300)]


class PollAnswer(Model):
    """``offer`` is ``None`` where the device should stay as it is."""

    protocol: Literal[1]
    offer: Offer | None = None


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


def is_own_refusal(answer: bytes) -> bool:
    """Whether an error answer comes from a central server."""
    try:
        return Refusal.model_validate_json(answer).protocol == PROTOCOL
    except ValidationError:
        return False


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


def first_problem(error: ValidationError) -> str:
    """A validation error's first finding, without the offending content."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"[:200]
