"""The audit log: who changed what, in the transaction of the change."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sync.central.tables import AuditEntry
from sync.central.values import plain, utc

CONSOLE = "console"
"""The actor of commands: whoever may run them on the server's machine."""


def note(
    session: Session, now: datetime, actor: str, action: str, subject: str = "", **detail: object
) -> None:
    """Keep an entry; it is committed together with what it speaks of, or not at all."""
    session.add(
        AuditEntry(
            at=utc(now),
            actor=plain(actor, 140),
            action=action,
            subject=plain(subject),
            detail=json.dumps(detail, ensure_ascii=False, default=str),
        )
    )


def entries(session: Session, *, before: int, limit: int) -> list[dict[str, Any]]:
    """Up to ``limit`` entries with ids below ``before``, newest first."""
    found = session.scalars(
        select(AuditEntry).where(AuditEntry.id < before).order_by(AuditEntry.id.desc()).limit(limit)
    )
    return [
        {
            "id": entry.id,
            "at": entry.at,
            "actor": entry.actor,
            "action": entry.action,
            "subject": entry.subject,
            "detail": json.loads(entry.detail),
        }
        for entry in found
    ]
