"""Alerts: raised once, kept, and brought to a webhook until it has taken them.

A completion alert is raised for a shop's or a device's UTC day when its completion rate (CCR) is
below 85 % and, with at least 20 closed dialogues, so few completed ones are improbable (under 5 %)
for any true rate of 85 % or more: the exact one-sided binomial test. A device is named on its own
only where its shop is not.

The webhook gets JSON by POST with the headers ``X-Edge-Timestamp`` (seconds since 1970) and
``X-Edge-Signature`` (``sha256=`` and the hex HMAC-SHA256 of timestamp, ".", body under the shared
secret, as RFC 2104). Anything but a 2xx answer within 10 s is tried again, ever more rarely, for a
day. An alert may arrive twice; its ``id`` tells.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edge_runtime.errors import ConfigError
from sync.central.database import Database, insert_into
from sync.central.tables import Alert, DayFigures
from sync.central.values import plain, utc

FLOOR = 0.85
MINIMUM = 20
_DOUBT = 0.05
_PATIENCE = timedelta(days=1)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 30.0, 3600.0
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts go; an empty ``secret`` leaves them unsigned."""

    url: str
    secret: str = ""


def check_webhook(url: str) -> str:
    """The webhook's address as given.

    Raises:
        ConfigError: it is no web address, or alerts would cross a network unencrypted.
    """
    parts = urlsplit(url)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ConfigError(f"{url!r} is not a webhook's address.", hint="Use https://HOST/PATH.")
    if parts.scheme == "http" and not local:
        raise ConfigError(f"{url} would send alerts unencrypted.", hint="Use https://.")
    return url


def raise_alert(
    session: Session, kind: str, subject: str, now: datetime, *, day: str = "", **detail: object
) -> None:
    """Keep an alert unless its like was raised for this subject and day already."""
    session.execute(
        insert_into(session, Alert)
        .values(
            kind=kind,
            subject=plain(subject, 260),
            day=day or utc(now)[:10],
            created_at=utc(now),
            detail=json.dumps(detail, ensure_ascii=False),
            attempts=0,
            next_at=utc(now),
            delivered_at="",
            last_error="",
        )
        .on_conflict_do_nothing(index_elements=["kind", "subject", "day"])
    )


def watch_completion(session: Session, now: datetime) -> None:
    """Raise what today's and yesterday's figures call for."""
    days = [utc(now - timedelta(days=back))[:10] for back in (1, 0)]
    counts = (func.sum(DayFigures.dialogues), func.sum(DayFigures.completed))
    rows = session.execute(
        select(DayFigures.day, DayFigures.shop, DayFigures.device_id, *counts)
        .where(DayFigures.day.in_(days))
        .group_by(DayFigures.day, DayFigures.shop, DayFigures.device_id)
        .having(func.sum(DayFigures.dialogues) > 0)
    ).all()
    shops: dict[tuple[str, str], tuple[int, int]] = {}
    for day, shop, _, closed, completed in rows:
        total, done = shops.get((day, shop), (0, 0))
        shops[day, shop] = (total + int(closed), done + int(completed))
    low = {key for key, (closed, done) in shops.items() if key[1] and is_low(done, closed)}
    for day, shop in sorted(low):
        closed, done = shops[day, shop]
        _raise_low(session, now, day, f"shop:{shop}", done, closed)
    for day, shop, device_id, closed, completed in rows:
        if (day, shop) not in low and is_low(int(completed), int(closed)):
            _raise_low(session, now, day, f"device:{device_id}", int(completed), int(closed))


def is_low(completed: int, closed: int) -> bool:
    """Whether a completion rate is below 85 % beyond what chance explains."""
    if closed < MINIMUM or completed >= FLOOR * closed:
        return False
    return _at_most(completed, closed) < _DOUBT


def _at_most(completed: int, closed: int) -> float:
    """P(X ≤ completed) for X binomial at the floor, by logarithms: a shop's day may be large."""
    logs = (
        math.lgamma(closed + 1) - math.lgamma(k + 1) - math.lgamma(closed - k + 1)
        + k * math.log(FLOOR) + (closed - k) * math.log1p(-FLOOR)
        for k in range(completed + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs))


def _raise_low(
    session: Session, now: datetime, day: str, subject: str, completed: int, closed: int
) -> None:
    raise_alert(
        session,
        "completion",
        subject,
        now,
        day=day,
        dialogues=closed,
        completed=completed,
        ccr=round(completed / closed, 4),
        floor=FLOOR,
    )


def deliver(
    database: Database, webhook: Webhook, client: httpx.Client, now: datetime, *, limit: int = 50
) -> int:
    """Bring up to ``limit`` waiting alerts to the webhook; how many it took.

    An alert is put off before it is sent, so that another replica does not send it meanwhile.

    Raises:
        StorageError: the database failed.
    """
    return sum(
        _send(database, webhook, client, alert, now) for alert in _claim(database, now, limit)
    )


def _claim(database: Database, now: datetime, limit: int) -> Iterable[dict[str, Any]]:
    with database.write() as session:
        waiting = session.scalars(
            select(Alert)
            .where(Alert.next_at != "", Alert.next_at <= utc(now))
            .order_by(Alert.next_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).all()
        claimed = []
        for alert in waiting:
            if now - datetime.fromisoformat(alert.created_at) > _PATIENCE:
                alert.next_at, alert.last_error = "", alert.last_error or "too old"
                continue
            wait = min(_FIRST_WAIT_S * 2**alert.attempts, _LONGEST_WAIT_S)
            alert.attempts += 1
            alert.next_at = utc(now + timedelta(seconds=wait))
            claimed.append(view(alert))
    return claimed


def _send(
    database: Database, webhook: Webhook, client: httpx.Client, alert: dict[str, Any], now: datetime
) -> bool:
    shown = ("id", "kind", "subject", "day", "created_at", "detail")
    body = json.dumps({name: alert[name] for name in shown}, ensure_ascii=False).encode()
    problem = _post(client, webhook, body, now)
    with database.write() as session:
        kept = session.get_one(Alert, alert["id"])
        kept.last_error = problem
        if not problem:
            kept.next_at, kept.delivered_at = "", utc(now)
    return not problem


def _post(client: httpx.Client, webhook: Webhook, body: bytes, now: datetime) -> str:
    """What went wrong, or "". The answer's body is never read."""
    stamp = str(int(now.timestamp()))
    headers = {"Content-Type": "application/json", "X-Edge-Timestamp": stamp}
    if webhook.secret:
        headers["X-Edge-Signature"] = f"sha256={signature(webhook.secret, stamp, body)}"
    try:
        with client.stream(
            "POST", webhook.url, content=body, headers=headers,
            timeout=_TIMEOUT_S, follow_redirects=False,
        ) as answer:  # fmt: skip
            return "" if answer.is_success else f"HTTP {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return plain(error or type(error).__name__)


def signature(secret: str, stamp: str, body: bytes) -> str:
    """The hex HMAC-SHA256 that a receiver holds against ``X-Edge-Signature``."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def listed(session: Session, *, before: int, limit: int) -> Iterator[dict[str, Any]]:
    """Up to ``limit`` alerts with ids below ``before``, newest first."""
    query = select(Alert).where(Alert.id < before).order_by(Alert.id.desc()).limit(limit)
    for alert in session.scalars(query):
        yield view(alert)


def view(alert: Alert) -> dict[str, Any]:
    """An alert as the API shows it."""
    return {
        "id": alert.id,
        "kind": alert.kind,
        "subject": alert.subject,
        "day": alert.day,
        "created_at": alert.created_at,
        "detail": json.loads(alert.detail),
        "attempts": alert.attempts,
        "delivered_at": alert.delivered_at,
        "last_error": alert.last_error,
    }
