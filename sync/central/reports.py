"""Figures per device and day, and the counters for Prometheus.

TTFF: milliseconds from the end of the customer's input to the first piece of the reply
(``timings_ms.first_token``); percentiles by nearest rank. CCR and escalation rate are over closed
dialogues as :mod:`edge_runtime.journal.completion` defines them. A dialogue counts on the UTC day
it began on.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edge_runtime.journal.completion import Step, dialogues
from sync.central.tables import Device, Handoff, StoredRecord, TurnMetric

MAX_DAYS = 92


@dataclass(frozen=True, slots=True)
class DayReport:
    """One device's day. Rates and percentiles are ``None`` where there was nothing to count."""

    device_id: str
    shop: str
    day: str
    turns: int
    ttff_p50_ms: float | None
    ttff_p95_ms: float | None
    dialogues: int
    ccr: float | None
    escalation_rate: float | None
    blocked: int


@dataclass(slots=True)
class _Day:
    turns: int = 0
    blocked: int = 0
    ttff: list[float] = field(default_factory=list)
    dialogues: int = 0
    completed: int = 0
    escalated: int = 0


def daily(
    session: Session, *, since: date, until: date, now: datetime, device_id: str = ""
) -> Iterator[DayReport]:
    """Reports from ``since`` to ``until``, both included, by device and then day."""
    # A dialogue that began before midnight goes on after it; read past both ends, count inside.
    margin = timedelta(days=1)
    query = (
        select(
            TurnMetric.device_id, TurnMetric.session, TurnMetric.started_at, TurnMetric.decision,
            TurnMetric.intent, TurnMetric.outcome, TurnMetric.first_token_ms,
            TurnMetric.blocked_count,
        )
        .where(
            TurnMetric.started_at >= (since - margin).isoformat(),
            TurnMetric.started_at < (until + 2 * margin).isoformat(),
        )
        .order_by(TurnMetric.device_id, TurnMetric.session, TurnMetric.started_at, TurnMetric.seq)
        .execution_options(yield_per=2000)
    )  # fmt: skip
    if device_id:
        query = query.where(TurnMetric.device_id == device_id)
    shops = {found.device_id: found.shop for found in session.scalars(select(Device))}
    for device, rows in groupby(session.execute(query), key=lambda row: row.device_id):
        for day, figures in sorted(_days(rows, now).items()):
            if since.isoformat() <= day <= until.isoformat():
                yield _report(device, shops.get(device, ""), day, figures)


def _days(rows: Iterable[Any], now: datetime) -> dict[str, _Day]:
    days: dict[str, _Day] = defaultdict(_Day)

    def steps() -> Iterator[Step]:
        for row in rows:
            day = days[row.started_at[:10]]
            day.turns += 1
            day.blocked += row.blocked_count
            if row.first_token_ms is not None:
                day.ttff.append(row.first_token_ms)
            at = datetime.fromisoformat(row.started_at)
            yield Step(row.session, at, row.decision, row.intent, row.outcome)

    for dialogue in dialogues(steps()):
        if dialogue.closed(now):
            day = days[dialogue.started_at.date().isoformat()]
            day.dialogues += 1
            day.completed += dialogue.completed
            day.escalated += dialogue.escalated
    return days


def _report(device_id: str, shop: str, day: str, figures: _Day) -> DayReport:
    ttff = sorted(figures.ttff)
    count = figures.dialogues
    return DayReport(
        device_id=device_id,
        shop=shop,
        day=day,
        turns=figures.turns,
        ttff_p50_ms=percentile(ttff, 50),
        ttff_p95_ms=percentile(ttff, 95),
        dialogues=count,
        ccr=figures.completed / count if count else None,
        escalation_rate=figures.escalated / count if count else None,
        blocked=figures.blocked,
    )


def percentile(ordered: list[float], percent: int) -> float | None:
    """Nearest rank over sorted values; ``None`` of none."""
    if not ordered:
        return None
    return ordered[max(math.ceil(percent * len(ordered) / 100), 1) - 1]


def prometheus(session: Session) -> str:
    """Counters and gauges in Prometheus' text format (version 0.0.4)."""
    kinds = session.execute(
        select(StoredRecord.kind, func.count()).group_by(StoredRecord.kind)
    ).all()
    by_status = session.execute(select(Handoff.status, func.count()).group_by(Handoff.status))
    handoffs = {status: count for status, count in by_status}  # noqa: C416
    devices = session.scalar(select(func.count()).select_from(Device)) or 0
    lines = ["# TYPE edge_central_devices gauge", f"edge_central_devices {devices}"]
    lines.append("# TYPE edge_central_records_total counter")
    lines += [f'edge_central_records_total{{kind="{kind}"}} {count}' for kind, count in kinds]
    lines.append("# TYPE edge_central_handoffs gauge")
    lines += [
        f'edge_central_handoffs{{status="{status}"}} {handoffs.get(status, 0)}'
        for status in ("open", "taken", "closed")
    ]
    return "\n".join(lines) + "\n"
