"""A customer's rights at the server: to be forgotten, provably, and to see what is kept.

A person is known here by pseudonyms only. An erased record keeps its number, so that nothing seems
missing, and becomes the notice the device itself would send; its figures stay, cut loose from the
session. Each erasure leaves a receipt in the :mod:`ledger <sync.central.ledger>`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from sync.central import ledger
from sync.central.notices import record_at, to_notices
from sync.central.rollup import mark
from sync.central.tables import Erasure, StoredRecord, TurnMetric
from sync.protocol.persons import PSEUDONYM, EraseAnswer

EVERYWHERE = ""
"""As a device's id: the whole fleet."""
PAGE = 100
TOLD = ("turn", "escalation")
"""Records that say what a person said."""


def erase(
    session: Session, *, device_id: str, pseudonyms: Sequence[str], request: str, now: datetime
) -> EraseAnswer:
    """Erase persons from one device's records, or everywhere.

    Args:
        request: the asking side's receipt. The same one asks again for the same erasure: it gets
            the same answer, and what has arrived in between goes as well.
    """
    asked = hashlib.sha256(f"{device_id}\n{request}".encode()).hexdigest()
    count = _remove(session, device_id, pseudonyms, now)
    known = session.scalar(select(Erasure).where(Erasure.request == asked))
    if known is None:
        known = ledger.enter(
            session,
            device_id=device_id,
            pseudonyms=pseudonyms,
            request=request,
            asked=asked,
            records=count,
            now=now,
        )
    return EraseAnswer(receipt=known.receipt, digest=known.digest)


def erase_late(
    session: Session,
    *,
    device_id: str,
    stream: str,
    created: Mapping[int, str],
    texts: Mapping[int, str],
    now: datetime,
) -> int:
    """Erase at once what arrives of a person erased meanwhile: a device was offline for weeks.

    A customer who has returned under the same id keeps what was said after the erasure.

    Args:
        created: when each of the stored records was made, in the kept form, by its number.
        texts: their payloads.
    """
    if not created:
        return 0
    mine = Erasure.device_id.in_((device_id, EVERYWHERE))
    newest = session.scalar(select(func.max(Erasure.at)).where(mine))
    if newest is None or newest <= (oldest := min(created.values())):
        return 0
    until: dict[str, str] = {}
    for at, masks in session.execute(
        select(Erasure.at, Erasure.pseudonyms).where(mine, Erasure.at > oldest)
    ):
        for mask in json.loads(masks):
            until[mask] = max(at, until.get(mask, ""))
    late = [
        seq
        for seq, made in created.items()
        if any(made < until.get(mask, "") for mask in PSEUDONYM.findall(texts[seq]))
    ]
    rows = session.scalars(
        select(StoredRecord).where(
            StoredRecord.device_id == device_id,
            StoredRecord.stream == stream,
            StoredRecord.seq.in_(late),
        )
    ).all()
    return _forget(session, rows, now)


def erase_again(session: Session, now: datetime) -> int:
    """Repeat every erasure on what came back since (a backup restored, a batch that was late).

    A customer who has returned under the same id keeps what arrived after the erasure.
    """
    count = 0
    for known in session.scalars(select(Erasure).order_by(Erasure.id)).all():
        masks = json.loads(known.pseudonyms)
        count += _remove(session, known.device_id, masks, now, received_until=known.at)
    return count


def restore_ledger(session: Session, entries: Sequence[dict[str, str]], now: datetime) -> int:
    """Take over erasures that were made after a restored backup, and repeat them all."""
    ledger.take_over(session, entries)
    return erase_again(session, now)


def kept(
    session: Session, *, device_id: str, pseudonyms: Sequence[str], after: str
) -> tuple[list[dict[str, Any]], str]:
    """A page of a person's records, and where the next begins ("" after the last).

    Raises:
        ValueError: ``after`` comes from no page.
    """
    key = (StoredRecord.device_id, StoredRecord.stream, StoredRecord.seq)
    query = select(StoredRecord).where(_told_by(pseudonyms)).order_by(*key).limit(PAGE)
    if device_id:
        query = query.where(StoredRecord.device_id == device_id)
    if after:
        device, stream, seq = _place(after)
        query = query.where(
            or_(
                StoredRecord.device_id > device,
                and_(StoredRecord.device_id == device, StoredRecord.stream > stream),
                and_(
                    StoredRecord.device_id == device,
                    StoredRecord.stream == stream,
                    StoredRecord.seq > seq,
                ),
            )
        )
    rows = session.scalars(query).all()
    last = rows[-1] if len(rows) == PAGE else None
    return [
        {
            "device_id": row.device_id,
            "kind": row.kind,
            "received_at": row.received_at,
            "payload": json.loads(row.payload),
        }
        for row in rows
    ], json.dumps([last.device_id, last.stream, last.seq]) if last else ""


def _told_by(pseudonyms: Sequence[str]) -> Any:
    return and_(
        StoredRecord.kind.in_(TOLD),
        or_(*(StoredRecord.payload.contains(mask, autoescape=True) for mask in pseudonyms)),
    )


def _remove(
    session: Session,
    device_id: str,
    pseudonyms: Sequence[str],
    now: datetime,
    *,
    received_until: str = "",
) -> int:
    query = select(StoredRecord).where(_told_by(pseudonyms))
    if device_id:
        query = query.where(StoredRecord.device_id == device_id)
    if received_until:
        query = query.where(StoredRecord.received_at <= received_until)
    return _forget(session, session.scalars(query).all(), now)


def _forget(session: Session, rows: Sequence[StoredRecord], now: datetime) -> int:
    """The records become notices, their turns' figures are cut loose; how many records."""
    sessions: dict[tuple[str, str, str], set[str]] = {}
    count = 0
    for row in rows:
        payload = json.loads(row.payload)
        place = (row.device_id, row.stream, payload["session"])
        sessions.setdefault(place, set()).add(payload["turn_id"])
        to_notices(session, record_at(row.device_id, row.stream, row.seq), row.kind, "erased")
        count += 1
    for place, turn_ids in sessions.items():
        count += _cut_loose(session, place, turn_ids, now)
    return count


def _cut_loose(
    session: Session, place: tuple[str, str, str], turn_ids: set[str], now: datetime
) -> int:
    """The figures of erased turns stay, under a session nobody has; their days count anew."""
    device_id, stream, name = place
    rows = session.execute(
        select(TurnMetric.seq, TurnMetric.started_at, StoredRecord.payload)
        .join(
            StoredRecord,
            and_(
                StoredRecord.device_id == TurnMetric.device_id,
                StoredRecord.stream == TurnMetric.stream,
                StoredRecord.seq == TurnMetric.seq,
            ),
        )
        .where(
            TurnMetric.device_id == device_id,
            TurnMetric.stream == stream,
            TurnMetric.session == name,
            StoredRecord.kind == "metric",
        )
    ).all()
    erased = {
        seq: started_at
        for seq, started_at, payload in rows
        if json.loads(payload)["turn_id"] in turn_ids
    }
    for seq in erased:
        to_notices(session, record_at(device_id, stream, seq), "metric", "erased")
    mark(session, device_id, erased.values(), now)
    session.execute(
        update(TurnMetric)
        .where(
            TurnMetric.device_id == device_id,
            TurnMetric.stream == stream,
            TurnMetric.seq.in_(list(erased)),
        )
        .values(session=f"[ERASED:{secrets.token_hex(8)}]")
    )
    return len(erased)


def _place(after: str) -> tuple[str, str, int]:
    try:
        device, stream, seq = json.loads(after)
        return str(device), str(stream), int(seq)
    except (TypeError, ValueError) as error:
        raise ValueError("this page follows no other") from error
