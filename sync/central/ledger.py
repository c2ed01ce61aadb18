"""The ledger of erasures: each receipt names the sha256 of the one before it, so that none can be
altered or taken out unseen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sync.central.tables import Erasure
from sync.central.values import utc

_FIRST = "0" * 64
_FIELDS = ("at", "device_id", "pseudonyms", "request", "previous", "receipt", "digest")


def enter(
    session: Session,
    *,
    device_id: str,
    pseudonyms: Sequence[str],
    request: str,
    asked: str,
    records: int,
    now: datetime,
) -> Erasure:
    """Add an erasure that was carried out.

    Args:
        request: the asking side's receipt.
        asked: sha256 of who asked and of ``request``.
        records: how many were erased.
    """
    newest = select(Erasure.digest).order_by(Erasure.id.desc()).limit(1)
    previous = session.scalar(newest) or _FIRST
    receipt = json.dumps(
        {
            "at": utc(now), "device_id": device_id or "every device",
            "pseudonyms": list(pseudonyms), "records": records,
            "request": hashlib.sha256(request.encode()).hexdigest(), "previous": previous,
        }
    )  # fmt: skip
    made = Erasure(
        at=utc(now),
        device_id=device_id,
        pseudonyms=json.dumps(list(pseudonyms)),
        request=asked,
        previous=previous,
        receipt=receipt,
        digest=hashlib.sha256(receipt.encode()).hexdigest(),
    )
    session.add(made)
    session.flush()
    return made


def entries(session: Session) -> list[dict[str, str]]:
    """Every erasure, in order: what a restored backup must be given to forget again."""
    return [
        {name: getattr(known, name) for name in _FIELDS}
        for known in session.scalars(select(Erasure).order_by(Erasure.id))
    ]


def receipts(session: Session, after: int, limit: int) -> list[dict[str, Any]]:
    """Up to ``limit`` receipts with ids above ``after``, oldest first."""
    found = session.scalars(
        select(Erasure).where(Erasure.id > after).order_by(Erasure.id).limit(limit)
    )
    return [{"id": one.id, "receipt": one.receipt, "digest": one.digest} for one in found]


def take_over(session: Session, given: Sequence[dict[str, str]]) -> None:
    """Add those of the given entries that are not in the ledger yet."""
    known = set(session.scalars(select(Erasure.digest)))
    for entry in given:
        if entry["digest"] not in known:
            session.add(Erasure(**{name: entry[name] for name in _FIELDS}))
            session.flush()


def is_unbroken(given: Sequence[dict[str, str]]) -> bool:
    """Whether every receipt has its sha256 and names the one before it."""
    previous = _FIRST
    for entry in given:
        receipt = entry["receipt"]
        if (
            entry["digest"] != hashlib.sha256(receipt.encode()).hexdigest()
            or json.loads(receipt)["previous"] != previous
        ):
            return False
        previous = entry["digest"]
    return True
