"""Figures a day, for devices, shops, versions, packs, languages or the whole fleet.

TTFF: milliseconds from the end of the customer's input to the first piece of the reply
(``timings_ms.first_token``). CCR and escalation rate are over closed dialogues as
:mod:`edge_runtime.journal.completion` defines them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby, islice
from typing import Any, Literal

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from sync.central.database import Database
from sync.central.figures import Sketch
from sync.central.rollup import DELAY, count_due, marked_between
from sync.central.tables import DayFigures, StoredRecord, Unanswered

MAX_DAYS = 92
Dimension = Literal["device", "shop", "version", "pack", "language"]
_COLUMNS: Mapping[Dimension, Any] = {
    "device": DayFigures.device_id,
    "shop": DayFigures.shop,
    "version": DayFigures.version,
    "pack": DayFigures.pack,
    "language": DayFigures.language,
}
_FRESH_DAYS = 500
_TOP_INTENTS = 20
_SUMS = ("turns", "dialogues", "completed", "escalated", "unanswered", "blocked")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which days, both included, told apart by which dimensions, and only where these match."""

    since: date
    until: date
    by: tuple[Dimension, ...] = ()
    only: Mapping[Dimension, str] | None = None
    offset: int = 0
    limit: int = 1000


def daily(database: Database, wanted: Wanted, now: datetime) -> list[dict[str, Any]]:
    """Rows by day and dimensions, in their order.

    What just arrived is counted first, up to 500 devices' days; the rest shows with the server's
    next count.

    Raises:
        StorageError: the database failed.
    """
    device_id = (wanted.only or {}).get("device", "")
    within = marked_between(wanted.since, wanted.until, device_id)
    count_due(database, now, limit=_FRESH_DAYS, within=within, ahead=DELAY)
    with database.read() as session:
        rows = _groups(session, wanted)
        return list(islice(rows, wanted.offset, wanted.offset + wanted.limit))


def _groups(session: Session, wanted: Wanted) -> Iterator[dict[str, Any]]:
    columns = [_COLUMNS[dimension] for dimension in wanted.by]
    query = select(DayFigures).where(
        DayFigures.day >= wanted.since.isoformat(), DayFigures.day <= wanted.until.isoformat()
    )
    for dimension, value in (wanted.only or {}).items():
        query = query.where(_COLUMNS[dimension] == value)
    query = query.order_by(DayFigures.day, *columns).execution_options(yield_per=1000)
    keys = ("day", *(column.key for column in columns))

    def key(row: DayFigures) -> tuple[str, ...]:
        return tuple(getattr(row, name) for name in keys)

    for values, rows in groupby(session.scalars(query), key=key):
        yield dict(zip(keys, values, strict=True)) | _summed(rows, "device" in wanted.by)


def _summed(rows: Iterator[DayFigures], with_shop: bool) -> dict[str, Any]:
    sums, intents, ttff, shop = Counter[str](), Counter[str](), Sketch(), ""
    for row in rows:
        sums.update({name: getattr(row, name) for name in _SUMS})
        intents.update(json.loads(row.intents))
        ttff.add(Sketch.from_json(row.ttff))
        shop = row.shop
    closed = sums["dialogues"]
    return {
        **({"shop": shop} if with_shop else {}),
        "turns": sums["turns"],
        "ttff_p50_ms": ttff.percentile(50),
        "ttff_p95_ms": ttff.percentile(95),
        "dialogues": closed,
        "ccr": sums["completed"] / closed if closed else None,
        "escalation_rate": sums["escalated"] / closed if closed else None,
        "unanswered": sums["unanswered"],
        "blocked": sums["blocked"],
        "intents": dict(intents.most_common(_TOP_INTENTS)),
    }


def unanswered(
    session: Session, *, since: date, until: date, language: str, limit: int
) -> Sequence[dict[str, Any]]:
    """The latest turns without an answer, newest first; their texts were masked on the device."""
    key = (Unanswered.device_id, Unanswered.stream, Unanswered.seq)
    record = (StoredRecord.device_id, StoredRecord.stream, StoredRecord.seq)
    query = (
        select(Unanswered.device_id, Unanswered.started_at, StoredRecord.payload)
        .join(StoredRecord, and_(*(a == b for a, b in zip(key, record, strict=True))))
        .where(
            Unanswered.started_at >= since.isoformat(),
            Unanswered.started_at < f"{until.isoformat()}T99",
            StoredRecord.kind == "turn",
        )
        .order_by(Unanswered.started_at.desc(), *key)
        .execution_options(yield_per=200)
    )
    found = _questions(session.execute(query), language)
    return list(islice(found, limit))


def _questions(rows: Any, language: str) -> Iterator[dict[str, Any]]:
    for device_id, started_at, payload in islice(rows, 5000):
        turn = json.loads(payload)
        if language and turn.get("language") != language:
            continue
        shown = ("language", "intent", "decision", "outcome", "reply")
        text = turn.get("text") or turn.get("transcript", "")
        yield {
            "device_id": device_id,
            "started_at": started_at,
            "text": text,
            **{name: turn.get(name, "") for name in shown},
        }
