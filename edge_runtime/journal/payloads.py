"""Turns a finished turn into what may leave the device: redacted, bounded JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from edge_runtime.errors import StorageError
from edge_runtime.journal.records import TurnRecord
from edge_runtime.journal.redact import Known, Redactor

MAX_FIELD_CHARS = 8_000
"""No single text of a payload is longer; keeps every record far below a batch's limit."""
_MAX_ITEMS = 64
_ORDER_SOURCE = "order:"
_FIELDS = frozenset(field.name for field in fields(TurnRecord))
_TUPLES = frozenset({"entities", "sources", "blocked"})
_PERSONAL_ENTITIES: Mapping[str, str] = {
    "phone": "PHONE",
    "email": "EMAIL",
    "address": "ADDRESS",
    "person": "NAME",
    "name": "NAME",
    "plate": "PLATE",
    "id_card": "ID",
    "bank_card": "CARD",
}


def outgoing(
    turn: TurnRecord, earlier: Iterable[TurnRecord], redactor: Redactor
) -> list[tuple[str, dict[str, Any]]]:
    """The records (kind, payload) a turn sends, in the order they are numbered.

    Args:
        earlier: the session's turns before this one, oldest first. Only those of the same person,
            or of nobody in particular, go with a request for a person: a till's session may have
            seen other customers.
    """
    own = [past for past in earlier if past.user in {"", turn.user}]
    records = [
        ("turn", turn_payload(turn, redactor, own)),
        ("metric", metric_payload(turn, redactor)),
    ]
    if turn.decision == "handover":
        records.insert(0, ("escalation", escalation_payload(turn, own, redactor)))
    return records


def turn_payload(
    turn: TurnRecord, redactor: Redactor, earlier: Sequence[TurnRecord] = ()
) -> dict[str, Any]:
    """The whole turn, redacted. Entities lose their offsets: masking moves the text.

    Args:
        earlier: turns of the same conversation; who was named in them is masked in this one.
    """
    known = _known([*earlier, turn], redactor)
    text = partial(redactor.text, known=known)
    return {
        **_about(turn, redactor),
        "user": user_pseudonym(turn.user, redactor),
        "text": _bounded(text(turn.text)),
        "transcript": _bounded(text(turn.transcript)),
        "ocr_text": _bounded(text(turn.ocr_text)),
        "normalized": _bounded(text(turn.normalized)),
        "intent_confidence": turn.intent_confidence,
        "entities": [_entity(entity, redactor, known) for entity in turn.entities[:_MAX_ITEMS]],
        "confidence": turn.confidence,
        "reason": _bounded(text(turn.reason)),
        "reply": _bounded(text(turn.reply)),
        "sources": [_source(source, redactor, known) for source in turn.sources[:_MAX_ITEMS]],
        "blocked": [_bounded(text(item)) for item in turn.blocked[:_MAX_ITEMS]],
        "models": _short_map(turn.models),
        "error": _bounded(text(turn.error)),
    }


def metric_payload(turn: TurnRecord, redactor: Redactor) -> dict[str, Any]:
    """Figures only: nothing the customer said."""
    return {**_about(turn, redactor), "blocked_count": len(turn.blocked)}


def escalation_payload(
    turn: TurnRecord, history: Sequence[TurnRecord], redactor: Redactor
) -> dict[str, Any]:
    """What a person needs to take over: this turn and the ones before it, oldest first."""
    text = partial(redactor.text, known=_known([*history, turn], redactor))
    return {
        **_about(turn, redactor),
        "user": user_pseudonym(turn.user, redactor),
        "text": _bounded(text(turn.text or turn.transcript)),
        "reply": _bounded(text(turn.reply)),
        "reason": _bounded(text(turn.reason)),
        "confidence": turn.confidence,
        "history": [
            {
                "text": _bounded(text(past.text or past.transcript)),
                "reply": _bounded(text(past.reply)),
            }
            for past in history
        ],
    }


def encode(payload: Mapping[str, Any]) -> str:
    """Compact JSON that SQLite and every JSON reader take: no NaN, no lone surrogates."""
    text = json.dumps(_finite(payload), ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", "replace").decode()


def decode(body: str) -> TurnRecord:
    """A kept turn; fields a newer version added are ignored, ones it lacks take their default.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        loaded = json.loads(body)
        values: dict[str, Any] = {
            name: tuple(value) if name in _TUPLES else value
            for name, value in loaded.items()
            if name in _FIELDS and value is not None
        }
        return TurnRecord(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise StorageError(f"The journal holds a turn that cannot be read: {error}.") from error


def user_pseudonym(user: str, redactor: Redactor) -> str:
    """What a person is called outside this device; "" for nobody in particular."""
    return _who("USER", user, redactor)


def _about(turn: TurnRecord, redactor: Redactor) -> dict[str, Any]:
    return {
        "turn_id": turn.turn_id,
        "session": _who("SESSION", turn.session, redactor),
        "started_at": turn.started_at,
        "language": turn.language,
        "source": turn.source,
        "intent": turn.intent,
        "sentiment": turn.sentiment,
        "decision": turn.decision,
        "outcome": turn.outcome,
        "timings_ms": {
            str(stage)[:64]: round(float(ms), 3)
            for stage, ms in list(turn.timings_ms.items())[:_MAX_ITEMS]
            if math.isfinite(ms)
        },
        "runtime_version": turn.runtime_version,
        "pack": turn.pack,
    }


def _known(turns: Iterable[TurnRecord], redactor: Redactor) -> Known:
    """Who was named in a conversation, and the numbers of the orders it is about."""
    told = list(turns)
    orders = [
        str(entity.get("value") or entity.get("text") or "")
        for turn in told
        for entity in turn.entities[:_MAX_ITEMS]
        if entity.get("type") == "order_id"
    ]
    orders += [
        source.removeprefix(_ORDER_SOURCE)
        for turn in told
        for source in turn.sources[:_MAX_ITEMS]
        if source.startswith(_ORDER_SOURCE)
    ]
    said = [text for turn in told for text in (turn.text, turn.transcript, turn.ocr_text) if text]
    return redactor.known(said, filter(None, orders))


def _entity(entity: Mapping[str, Any], redactor: Redactor, known: Known) -> dict[str, str]:
    kind = str(entity.get("type", ""))[:64]
    masked = {
        name: _entity_text(kind, str(entity[name]), redactor, known)
        for name in ("value", "text")
        if entity.get(name)
    }
    return {"type": kind, **masked}


def _entity_text(kind: str, value: str, redactor: Redactor, known: Known) -> str:
    """Masked by what the value is, else by what the entity's type says it is."""
    masked = redactor.text(value, known)
    personal = _PERSONAL_ENTITIES.get(kind)
    if personal and masked == value:
        return redactor.pseudonym(personal, "".join(value.split()).lower())
    return _bounded(masked)


def _source(source: str, redactor: Redactor, known: Known) -> str:
    """Where a reply came from, as it is called, unless that is an order nobody may read."""
    number = source.removeprefix(_ORDER_SOURCE)
    return _bounded(
        _ORDER_SOURCE + redactor.text(number, known) if number in known.orders else source
    )


def _who(kind: str, value: str, redactor: Redactor) -> str:
    """Longer than a mask in a text: sessions and users are told apart by it."""
    return redactor.pseudonym(kind, value, length=16) if value else ""


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_FIELD_CHARS else text[: MAX_FIELD_CHARS - 1] + "…"


def _short_map(values: Mapping[str, str]) -> dict[str, str]:
    return {str(k)[:64]: str(v)[:200] for k, v in list(values.items())[:_MAX_ITEMS]}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
