"""The handoff inbox: customers waiting for a person, oldest first."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from sync.central.tables import Handoff
from sync.central.values import utc

Status = Literal["open", "taken", "closed"]


def waiting(session: Session, *, status: Status, after: int, limit: int) -> list[dict[str, Any]]:
    """Up to ``limit`` handoffs of one status with ids above ``after``."""
    found = session.scalars(
        select(Handoff)
        .where(Handoff.status == status, Handoff.id > after)
        .order_by(Handoff.id)
        .limit(limit)
    )
    return [_view(handoff) for handoff in found]


def move(session: Session, handoff_id: int, status: Status, now: datetime) -> dict[str, Any] | None:
    """Give a handoff another status; ``None`` when there is no such handoff."""
    handoff = session.get(Handoff, handoff_id, with_for_update=True)
    if handoff is None:
        return None
    handoff.status, handoff.updated_at = status, utc(now)
    return _view(handoff)


def _view(handoff: Handoff) -> dict[str, Any]:
    payload = json.loads(handoff.payload)
    shown = ("session", "user", "language", "intent", "sentiment", "reason", "text", "reply")
    return {
        "id": handoff.id,
        "device_id": handoff.device_id,
        "started_at": handoff.started_at,
        "received_at": handoff.received_at,
        "status": handoff.status,
        **{name: payload.get(name, "") for name in shown},
        "history": payload.get("history", []),
    }
