"""Records that are gone: each keeps its number and becomes the notice a device would send."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, delete, select, tuple_, update
from sqlalchemy.orm import Session

from sync.central.tables import Handoff, StoredRecord, Unanswered
from sync.protocol.records import digest_of, payload_text


def to_notices(session: Session, which: ColumnElement[bool], kind: str, reason: str) -> int:
    """The records of one kind that fit ``which`` become notices; how many."""
    keys = select(StoredRecord.device_id, StoredRecord.stream, StoredRecord.seq).where(which)
    for table in (Handoff, Unanswered):
        row = tuple_(table.device_id, table.stream, table.seq)
        session.execute(delete(table).where(row.in_(keys)))
    text = _notice(kind, reason)
    values = {"kind": "dropped", "payload": text, "digest": digest_of("dropped", text)}
    done = session.execute(update(StoredRecord).where(which).values(values))
    return cast(CursorResult[Any], done).rowcount


def _notice(kind: str, reason: str) -> str:
    return payload_text({"kind": kind, "reason": reason})


def record_at(device_id: str, stream: str, seq: int) -> ColumnElement[bool]:
    """The one record with this number."""
    return and_(
        StoredRecord.device_id == device_id,
        StoredRecord.stream == stream,
        StoredRecord.seq == seq,
    )


def erased_notice(kind: str) -> str:
    """The digest a record of this kind has once it is erased."""
    return digest_of("dropped", _notice(kind, "erased"))
