"""Takes in batches: each record once, whatever order and however often it comes."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sync.central.database import Database
from sync.central.tables import (
    QUARANTINED,
    Device,
    Handoff,
    StoredRecord,
    Stream,
    TurnMetric,
    utc,
)
from sync.protocol import (
    PROTOCOL,
    Ack,
    Batch,
    Record,
    Refused,
    check_payload,
    contiguous_after,
    digest,
)

_CONFLICT = "another record already has this number"
_MAX_KEPT_PROBLEM = 10_000


def ingest(database: Database, device_id: str, batch: Batch, now: datetime) -> Ack:
    """Commit a batch and say what is accounted for.

    Raises:
        StorageError: nothing of the batch was kept; the device will send it again.
    """
    with database.write() as session:
        stream = _stream(session, device_id, batch.stream)
        known = _known(session, device_id, batch)
        stored: list[int] = []
        refused: list[Refused] = []
        rows: list[dict[str, Any]] = []
        for record in {record.seq: record for record in batch.records}.values():
            content = digest(record.kind, record.payload)
            problem = _judge(record, content, known.get(record.seq))
            if problem:
                refused.append(Refused(seq=record.seq, reason=problem))
            else:
                stored.append(record.seq)
            if record.seq not in known:
                rows.append(_row(device_id, batch.stream, record, content, problem, now))
                if not problem:
                    _project(session, device_id, batch.stream, record, now)
        if rows:
            session.execute(insert(StoredRecord), rows)
        _advance(session, stream)
        _note_device(session, device_id, batch, now)
        contiguous = stream.contiguous
    return Ack(
        protocol=PROTOCOL,
        stream=batch.stream,
        contiguous=contiguous,
        stored=sorted(stored),
        quarantined=refused,
    )


def _stream(session: Session, device_id: str, stream: str) -> Stream:
    """The stream's row, locked, so that two batches of one stream follow one another."""
    found = session.get(Stream, (device_id, stream), with_for_update=True)
    if found is not None:
        return found
    try:
        with session.begin_nested():
            session.add(created := Stream(device_id=device_id, stream=stream, contiguous=0))
        return created
    except IntegrityError:
        return session.get_one(Stream, (device_id, stream), with_for_update=True)


def _known(session: Session, device_id: str, batch: Batch) -> dict[int, tuple[str, str]]:
    rows = session.execute(
        select(StoredRecord.seq, StoredRecord.digest, StoredRecord.problem).where(
            StoredRecord.device_id == device_id,
            StoredRecord.stream == batch.stream,
            StoredRecord.seq.in_([record.seq for record in batch.records]),
        )
    )
    return {seq: (content, problem) for seq, content, problem in rows}


def _judge(record: Record, content: str, known: tuple[str, str] | None) -> str:
    """Why a record is refused, or ""."""
    if known is None:
        return check_payload(record.kind, record.payload)
    known_content, known_problem = known
    return known_problem if known_content == content else _CONFLICT


def _row(
    device_id: str, stream: str, record: Record, content: str, problem: str, now: datetime
) -> dict[str, Any]:
    payload = json.dumps(record.payload)
    return {
        "device_id": device_id,
        "stream": stream,
        "seq": record.seq,
        "kind": QUARANTINED if problem else record.kind,
        "created_at": _plain(record.created_at),
        "received_at": utc(now),
        "digest": content,
        "payload": payload[:_MAX_KEPT_PROBLEM] if problem else payload,
        "problem": problem,
    }


def _project(session: Session, device_id: str, stream: str, record: Record, now: datetime) -> None:
    """What the reports and the inbox read, beside the record itself."""
    payload = record.payload
    key = {"device_id": device_id, "stream": stream, "seq": record.seq}
    if record.kind == "metric":
        timings = payload.get("timings_ms", {})
        session.add(
            TurnMetric(
                **key,
                session=_plain(payload["session"]),
                started_at=_moment(payload["started_at"], now),
                language=_plain(payload["language"]),
                intent=_plain(payload["intent"]),
                decision=_plain(payload["decision"]),
                outcome=_plain(payload["outcome"]),
                first_token_ms=_figure(timings.get("first_token")),
                total_ms=_figure(timings.get("total")),
                blocked_count=min(int(payload.get("blocked_count", 0)), 2**31),
                runtime_version=_plain(payload.get("runtime_version", "")),
            )
        )
    elif record.kind == "escalation":
        session.add(
            Handoff(
                **key,
                started_at=_moment(payload["started_at"], now),
                received_at=utc(now),
                payload=json.dumps(payload),
            )
        )


def _advance(session: Session, stream: Stream) -> None:
    session.flush()
    beyond = session.scalars(
        select(StoredRecord.seq)
        .where(
            StoredRecord.device_id == stream.device_id,
            StoredRecord.stream == stream.stream,
            StoredRecord.seq > stream.contiguous,
        )
        .order_by(StoredRecord.seq)
        .execution_options(yield_per=1000)
    )
    stream.contiguous = contiguous_after(stream.contiguous, beyond)
    beyond.close()


def _note_device(session: Session, device_id: str, batch: Batch, now: datetime) -> None:
    device = session.get_one(Device, device_id)
    device.last_seen_at = utc(now)
    try:
        sent_at = datetime.fromisoformat(batch.sent_at)
        sent_at = sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)
        device.clock_skew_s = round((now - sent_at).total_seconds())
    except (ValueError, OverflowError):
        device.clock_skew_s = 0
    for record in batch.records:
        if record.kind == "metric":
            device.runtime_version = _plain(record.payload.get("runtime_version", ""))[:200]
            device.pack = _plain(record.payload.get("pack", ""))[:200]


def _moment(text: str, now: datetime) -> str:
    """A device's time in the kept form; the time of arrival where it is none."""
    try:
        moment = datetime.fromisoformat(text)
        return utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return utc(now)


def _figure(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _plain(text: Any) -> str:
    """Without NUL, which PostgreSQL does not keep in text."""
    return str(text).replace("\x00", "")
