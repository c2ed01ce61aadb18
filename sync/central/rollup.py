"""Counts devices' days again once turns of them have arrived.

Turns arrive late and in any order, so nothing is added up as they come. What arrived marks its
device's day; a marked day is counted anew from its turns, by any replica, each mark by one. A day
with a dialogue still open stays marked until that dialogue closes.

A dialogue counts on the UTC day it began, under the version, pack and language of its first turn.
Its turns are followed until ``REACH`` past midnight.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, insert, select
from sqlalchemy.orm import Session

from edge_runtime.journal.completion import GAP, Dialogue, Step, dialogues
from sync.central.database import Database, insert_into
from sync.central.figures import Sketch, is_unanswered
from sync.central.tables import DayFigures, DayMark, Device, TurnMetric
from sync.central.values import utc

REACH = timedelta(hours=2)
DELAY = timedelta(seconds=60)
"""How long a mark waits, so that a burst of batches is counted once."""
_MAX_INTENTS = 200
_AT_ONCE = 25
_Key = tuple[str, str, str]


def mark(session: Session, device_id: str, moments: Iterable[str], now: datetime) -> None:
    """Have the days of these moments (kept form) counted again soon."""
    days = set()
    for moment in moments:
        at = datetime.fromisoformat(moment)
        days |= {at.date().isoformat(), (at - REACH).date().isoformat()}
    if not days:
        return
    due = utc(now + DELAY)
    rows = [{"device_id": device_id, "day": day, "due_at": due} for day in sorted(days)]
    upsert = insert_into(session, DayMark)
    sooner = case(
        (DayMark.due_at < upsert.excluded.due_at, DayMark.due_at), else_=upsert.excluded.due_at
    )
    # Also waits for a count of that day that is under way, which may not have seen these turns.
    session.execute(
        upsert.on_conflict_do_update(index_elements=["device_id", "day"], set_={"due_at": sooner}),
        rows,
    )


def count_due(
    database: Database,
    now: datetime,
    *,
    limit: int,
    within: ColumnElement[bool] | None = None,
    ahead: timedelta = timedelta(0),
) -> int:
    """Count up to ``limit`` marked days that are due (and ``within``); how many were.

    Args:
        ahead: also those that will only be due this much later.

    Raises:
        StorageError: the database failed; the days stay marked.
    """
    counted = 0
    while counted < limit:
        with database.write() as session:
            query = (
                select(DayMark).where(DayMark.due_at <= utc(now + ahead)).order_by(DayMark.due_at)
            )
            if within is not None:
                query = query.where(within)
            due = session.scalars(
                query.limit(min(_AT_ONCE, limit - counted)).with_for_update(skip_locked=True)
            ).all()
            shops = _shops(session, due)
            for marked in due:
                _count(session, marked, shops.get(marked.device_id, ""), now)
        counted += len(due)
        if len(due) < _AT_ONCE:
            break
    return counted


def marked_between(since: date, until: date, device_id: str = "") -> ColumnElement[bool]:
    """Marks of these days, both included, of one device or all."""
    days = and_(DayMark.day >= since.isoformat(), DayMark.day <= until.isoformat())
    return and_(days, DayMark.device_id == device_id) if device_id else days


@dataclass(slots=True)
class _Figures:
    turns: int = 0
    blocked: int = 0
    unanswered: int = 0
    dialogues: int = 0
    completed: int = 0
    escalated: int = 0
    ttff: list[float] = field(default_factory=list)
    intents: Counter[str] = field(default_factory=Counter)

    def turn(self, row: Any) -> None:
        self.turns += 1
        self.blocked += row.blocked_count
        self.unanswered += is_unanswered(row.decision, row.intent, row.outcome)
        self.intents[row.intent] += 1
        if row.first_token_ms is not None:
            self.ttff.append(row.first_token_ms)

    def dialogue(self, dialogue: Dialogue) -> None:
        self.dialogues += 1
        self.completed += dialogue.completed
        self.escalated += dialogue.escalated


def _count(session: Session, marked: DayMark, shop: str, now: datetime) -> None:
    device_id, day = marked.device_id, marked.day
    figures: dict[_Key, _Figures] = defaultdict(_Figures)
    rows = _turns(session, device_id, date.fromisoformat(day))
    first: dict[tuple[str, datetime], _Key] = {}
    steps = []
    for row in rows:
        key = (row.runtime_version, row.pack, row.language)
        at = datetime.fromisoformat(row.started_at)
        if row.started_at[:10] == day:
            figures[key].turn(row)
        first.setdefault((row.session, at), key)
        steps.append(Step(row.session, at, row.decision, row.intent, row.outcome))
    closes: list[datetime] = []
    for dialogue in dialogues(steps):
        if dialogue.started_at.date().isoformat() != day:
            continue
        if dialogue.closed(now):
            figures[first[dialogue.session, dialogue.started_at]].dialogue(dialogue)
        else:
            closes.append(dialogue.ended_at + GAP)
    session.execute(
        delete(DayFigures).where(DayFigures.device_id == device_id, DayFigures.day == day)
    )
    if figures:
        session.execute(
            insert(DayFigures),
            [_row(device_id, day, shop, key, found) for key, found in figures.items()],
        )
    if closes:
        marked.due_at = utc(min(closes))
    else:
        session.delete(marked)


def _turns(session: Session, device_id: str, day: date) -> Sequence[Any]:
    """A dialogue that began the day before had a turn within the gap before midnight."""
    start = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    return session.execute(
        select(
            TurnMetric.session, TurnMetric.started_at, TurnMetric.runtime_version, TurnMetric.pack,
            TurnMetric.language, TurnMetric.decision, TurnMetric.intent, TurnMetric.outcome,
            TurnMetric.first_token_ms, TurnMetric.blocked_count,
        )
        .where(
            TurnMetric.device_id == device_id,
            TurnMetric.started_at > utc(start - GAP),
            TurnMetric.started_at < utc(start + timedelta(days=1) + REACH),
        )
        .order_by(TurnMetric.session, TurnMetric.started_at, TurnMetric.seq)
    ).all()  # fmt: skip


def _shops(session: Session, due: Sequence[DayMark]) -> dict[str, str]:
    wanted = {marked.device_id for marked in due}
    rows = session.execute(
        select(Device.device_id, Device.shop).where(Device.device_id.in_(wanted))
    )
    return {device_id: shop for device_id, shop in rows}  # noqa: C416


def _row(device_id: str, day: str, shop: str, key: _Key, found: _Figures) -> dict[str, Any]:
    version, pack, language = key
    return {
        "device_id": device_id,
        "day": day,
        "version": version,
        "pack": pack,
        "language": language,
        "shop": shop,
        "turns": found.turns,
        "dialogues": found.dialogues,
        "completed": found.completed,
        "escalated": found.escalated,
        "unanswered": found.unanswered,
        "blocked": found.blocked,
        "ttff": Sketch.of(found.ttff).to_json(),
        "intents": json.dumps(dict(found.intents.most_common(_MAX_INTENTS)), ensure_ascii=False),
    }
