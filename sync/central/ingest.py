"""Takes in batches: each record once, whatever order and however often it comes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Executable, cast, func, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sync.central.database import Database, insert_many
from sync.central.figures import is_unanswered
from sync.central.notices import erased_notice
from sync.central.persons import TOLD, erase_late
from sync.central.rollup import mark
from sync.central.tables import (
    QUARANTINED,
    Device,
    Handoff,
    StoredRecord,
    Stream,
    TurnMetric,
    Unanswered,
)
from sync.central.values import plain, utc
from sync.protocol.base import PROTOCOL
from sync.protocol.records import (
    Ack,
    Batch,
    Record,
    Refused,
    check_payload,
    contiguous_after,
    digest_of,
    payload_text,
)

_CONFLICT = "another record already has this number"
_MAX_KEPT_PROBLEM = 10_000
_STRIDE = 500
_OLDEST, _AHEAD = timedelta(days=400), timedelta(days=1)
"""A time further from now says that the device's clock was wrong."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to a batch, and the kinds of the records that were new."""

    ack: Ack
    kinds: tuple[str, ...]


def ingest(database: Database, device_id: str, batch: Batch, now: datetime) -> Taken:
    """Commit a batch and say what is accounted for.

    Raises:
        StorageError: nothing of the batch was kept; the device will send it again.
    """
    read = [_Read.of(record) for record in {r.seq: r for r in batch.records}.values()]
    with database.write() as session:
        stream = _stream(session, device_id, batch.stream)
        known = _known(session, device_id, batch)
        new = [one for one in read if one.record.seq not in known]
        _store(session, device_id, batch.stream, new, now)
        _forget_late(session, device_id, batch.stream, new, now)
        _advance(session, stream, new)
        _note_device(session, device_id, batch, now)
        contiguous = stream.contiguous
    reasons = {one.record.seq: _refusal(one, known.get(one.record.seq)) for one in read}
    ack = Ack(
        protocol=PROTOCOL,
        stream=batch.stream,
        contiguous=contiguous,
        stored=sorted(seq for seq, reason in reasons.items() if not reason),
        quarantined=[Refused(seq=seq, reason=reason) for seq, reason in reasons.items() if reason],
    )
    return Taken(ack, tuple(one.kind for one in new))


@dataclass(frozen=True, slots=True)
class _Read:
    """A record judged before the transaction, so that its locks are held no longer than needed.

    ``text`` is its payload in the one form in which it is kept, ``problem`` why it is set aside.
    """

    record: Record
    text: str
    digest: str
    problem: str

    @property
    def kind(self) -> str:
        return QUARANTINED if self.problem else self.record.kind

    @classmethod
    def of(cls, record: Record) -> _Read:
        text = payload_text(record.payload)
        problem = check_payload(record.kind, record.payload, size=len(text))
        return cls(record, text, digest_of(record.kind, text), problem)


def _refusal(one: _Read, known: tuple[str, str] | None) -> str:
    """Why a record is refused, or ""."""
    if known is None:
        return one.problem
    known_digest, known_problem = known
    if known_digest in {one.digest, erased_notice(one.record.kind)}:
        return known_problem
    return _CONFLICT


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
    """What is kept under the batch's numbers, at a cost that does not grow with the stream."""
    numbers = [record.seq for record in batch.records]
    kept = select(StoredRecord.seq, StoredRecord.digest, StoredRecord.problem).where(
        StoredRecord.device_id == device_id, StoredRecord.stream == batch.stream
    )
    query: Executable = kept.where(StoredRecord.seq.in_(numbers))
    if session.get_bind().dialect.name == "postgresql":
        # A list of numbers may be compared with every record of the stream; looked up one by one,
        # each is found through the key.
        sent = func.unnest(cast(numbers, ARRAY(BigInteger))).table_valued("seq").render_derived()
        found = kept.where(StoredRecord.seq == sent.c.seq).limit(1).lateral("found")
        query = select(found).select_from(sent).join(found, true())
    return {seq: (content, problem) for seq, content, problem in session.execute(query)}


def _store(
    session: Session, device_id: str, stream: str, new: Sequence[_Read], now: datetime
) -> None:
    """The records, and beside them what the reports and the inbox read."""
    if not new:
        return
    insert_many(session, StoredRecord, [_row(device_id, stream, one, now) for one in new])
    metrics: list[dict[str, Any]] = []
    handoffs: list[dict[str, Any]] = []
    unanswered: list[dict[str, Any]] = []
    for one in new:
        payload, key = one.record.payload, (device_id, stream, one.record.seq)
        if one.kind == "metric":
            metrics.append(_metric(key, payload, now))
        elif one.kind == "escalation":
            handoffs.append(_handoff(key, payload, one.text, now))
        elif one.kind == "turn" and is_unanswered(
            payload["decision"], payload["intent"], payload["outcome"]
        ):
            unanswered.append(_key(key) | {"started_at": _moment(payload["started_at"], now)})
    for table, rows in ((TurnMetric, metrics), (Handoff, handoffs), (Unanswered, unanswered)):
        if rows:
            insert_many(session, table, rows)
    mark(session, device_id, (row["started_at"] for row in metrics), now)


def _forget_late(
    session: Session, device_id: str, stream: str, new: Sequence[_Read], now: datetime
) -> None:
    told = {one.record.seq: one for one in new if one.kind in TOLD}
    erase_late(
        session,
        device_id=device_id,
        stream=stream,
        created={seq: _moment(one.record.created_at, now) for seq, one in told.items()},
        texts={seq: one.text for seq, one in told.items()},
        now=now,
    )


def _key(key: tuple[str, str, int]) -> dict[str, Any]:
    return dict(zip(("device_id", "stream", "seq"), key, strict=True))


def _row(device_id: str, stream: str, one: _Read, now: datetime) -> dict[str, Any]:
    return {
        "device_id": device_id,
        "stream": stream,
        "seq": one.record.seq,
        "kind": one.kind,
        "created_at": plain(one.record.created_at),
        "received_at": utc(now),
        "digest": one.digest,
        "payload": one.text[:_MAX_KEPT_PROBLEM] if one.problem else one.text,
        "problem": one.problem,
    }


def _metric(key: tuple[str, str, int], payload: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    timings = payload.get("timings_ms", {})
    return _key(key) | {
        "session": plain(payload["session"]),
        "started_at": _moment(payload["started_at"], now),
        "language": plain(payload["language"]),
        "intent": plain(payload["intent"]),
        "decision": plain(payload["decision"]),
        "outcome": plain(payload["outcome"]),
        "first_token_ms": _figure(timings.get("first_token")),
        "total_ms": _figure(timings.get("total")),
        "blocked_count": min(int(payload.get("blocked_count", 0)), 2**31),
        "runtime_version": plain(payload.get("runtime_version", "")),
        "pack": plain(payload.get("pack", "")),
    }


def _handoff(
    key: tuple[str, str, int], payload: Mapping[str, Any], text: str, now: datetime
) -> dict[str, Any]:
    return _key(key) | {
        "started_at": _moment(payload["started_at"], now),
        "received_at": utc(now),
        "status": "open",
        "updated_at": "",
        "payload": text,
    }


def _advance(session: Session, stream: Stream, new: Sequence[_Read]) -> None:
    if all(one.record.seq != stream.contiguous + 1 for one in new):
        return  # the first gap is still open
    while True:
        # A range of numbers costs the same wherever it lies and however much lies beyond it.
        until = stream.contiguous + _STRIDE
        present = session.scalars(
            select(StoredRecord.seq)
            .where(
                StoredRecord.device_id == stream.device_id,
                StoredRecord.stream == stream.stream,
                StoredRecord.seq > stream.contiguous,
                StoredRecord.seq <= until,
            )
            .order_by(StoredRecord.seq)
        )
        stream.contiguous = contiguous_after(stream.contiguous, present.all())
        if stream.contiguous < until:
            return


def _note_device(session: Session, device_id: str, batch: Batch, now: datetime) -> None:
    device = session.get_one(Device, device_id)
    device.last_seen_at = utc(now)
    try:
        sent_at = datetime.fromisoformat(batch.sent_at)
        sent_at = sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)
        device.clock_skew_s = round((now - sent_at).total_seconds())
    except (ValueError, OverflowError):
        device.clock_skew_s = 0
    metric = next((one for one in reversed(batch.records) if one.kind == "metric"), None)
    if metric is not None:
        device.runtime_version = plain(metric.payload.get("runtime_version", ""))
        device.pack = plain(metric.payload.get("pack", ""))


def _moment(text: str, now: datetime) -> str:
    """A device's time in the kept form; the time of arrival where it is none, or far off."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return utc(moment if now - _OLDEST < moment < now + _AHEAD else now)
    except (ValueError, OverflowError):
        return utc(now)


def _figure(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
