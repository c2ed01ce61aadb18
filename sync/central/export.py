"""Turns as labelled text, for annotation and training.

One JSON object a line: ``text``, ``intent``, ``sentiment``, ``entities`` (type → value, or values
where there are several), ``language``, the shape every tool here reads, and ``label_source``
"model" with its ``intent_confidence``: nobody has confirmed these labels yet. Personal data was
masked on the device. ``record`` names the record a line comes from, so that a person who is erased
later can be taken out of training sets, too (:func:`erased`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from sync.central.tables import StoredRecord
from sync.central.values import utc


def labelled(session: Session, *, since: datetime) -> Iterator[dict[str, Any]]:
    """Finished turns that arrived at or after ``since``, in order of arrival."""
    rows = session.execute(
        select(StoredRecord.device_id, StoredRecord.stream, StoredRecord.seq, StoredRecord.payload)
        .where(StoredRecord.kind == "turn", StoredRecord.received_at >= utc(since))
        .order_by(
            StoredRecord.received_at,
            StoredRecord.device_id,
            StoredRecord.stream,
            StoredRecord.seq,
        )
        .execution_options(yield_per=1000)
    )
    for *key, payload in rows:
        turn = json.loads(payload)
        text = turn["text"] or turn.get("transcript", "")
        if text.strip() and turn["outcome"] == "done":
            yield {
                "text": text,
                "intent": turn["intent"] or None,
                "sentiment": turn["sentiment"] or None,
                "entities": _entities(turn.get("entities", [])),
                "language": turn["language"],
                "label_source": "model",
                "intent_confidence": turn.get("intent_confidence"),
                "record": key,
            }


def erased(session: Session, lines: Sequence[Any]) -> list[bool]:
    """For each line of a training set, whether the person it comes from was erased since.

    A line that names no record of this server has no such person.
    """
    records = [_record(line) for line in lines]
    keys = [key for key in records if key is not None]
    name = tuple_(StoredRecord.device_id, StoredRecord.stream, StoredRecord.seq)
    rows = session.execute(
        select(
            StoredRecord.device_id, StoredRecord.stream, StoredRecord.seq, StoredRecord.payload
        ).where(StoredRecord.kind == "dropped", name.in_(keys))
    )
    gone = {tuple(key) for *key, payload in rows if json.loads(payload)["reason"] == "erased"}
    return [record in gone for record in records]


def _record(line: Any) -> tuple[str, str, int] | None:
    match line:
        case {"record": [str(device), str(stream), int(seq)]} if 0 < seq < 2**63:
            return device, stream, seq
    return None


def _entities(items: list[dict[str, Any]]) -> dict[str, str | list[str]]:
    values: dict[str, list[str]] = defaultdict(list)
    for item in items:
        values[item["type"]].append(item.get("value") or item.get("text", ""))
    return {kind: found[0] if len(found) == 1 else found for kind, found in values.items()}
