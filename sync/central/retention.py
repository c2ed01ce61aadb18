"""How long the server keeps what devices sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, delete
from sqlalchemy.orm import Session

from sync.central.notices import to_notices
from sync.central.persons import erase_again
from sync.central.tables import Handoff, StoredRecord, TurnMetric
from sync.central.values import utc


@dataclass(frozen=True, slots=True)
class Periods:
    """Days a record of each kind is kept after it arrived. Handoffs go with escalations."""

    turn: int = 365
    escalation: int = 365
    metric: int = 1_095
    audit: int = 1_095


DEFAULT_PERIODS = Periods()


def retain(session: Session, periods: Periods, now: datetime) -> dict[str, int]:
    """Let go of what is past its period, and repeat the erasures; how many records of each kind."""
    gone: dict[str, int] = {}
    for kind in ("turn", "escalation", "metric", "audit"):
        horizon = utc(now - timedelta(days=getattr(periods, kind)))
        old = and_(StoredRecord.kind == kind, StoredRecord.received_at < horizon)
        if count := to_notices(session, old, kind, "expired"):
            gone[kind] = count
    horizon = utc(now - timedelta(days=periods.metric))
    session.execute(delete(TurnMetric).where(TurnMetric.started_at < horizon))
    horizon = utc(now - timedelta(days=periods.escalation))
    session.execute(delete(Handoff).where(Handoff.received_at < horizon))
    if again := erase_again(session, now):
        gone["erased again"] = again
    return gone
