"""What Prometheus reads: what this replica did since it started, and how the fleet is now.

Counters and the latency histogram belong to the process, as Prometheus expects of each replica it
scrapes; gauges come from the database by queries that an index answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.central.tables import QUARANTINED, Alert, DayFigures, DayMark, Device, Handoff, Rollout
from sync.central.values import utc
from sync.protocol.records import PAYLOADS

_SILENT = timedelta(hours=72)
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Counters:
    """What one replica has done."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = Counter(
            "edge_central_records", "Records stored, by kind.", ["kind"], registry=self.registry
        )
        self._requests = Histogram(
            "edge_central_request_seconds", "Time to answer, by endpoint and status.",
            ["endpoint", "status"], buckets=_BUCKETS_S, registry=self.registry,
        )  # fmt: skip

    def stored(self, kinds: Iterable[str]) -> None:
        """Count stored records. Kinds that this version does not know are counted as "other":
        devices choose their names."""
        for kind in kinds:
            known = kind in PAYLOADS or kind == QUARANTINED
            self._records.labels(kind if known else "other").inc()

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        self._requests.labels(endpoint, str(status)).observe(seconds)


class Timed:
    """Measures every request, under its route's pattern so that ids do not multiply the series."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self._app, self._counters = app, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = scope.get("route")
            endpoint = str(getattr(route, "path", "unknown"))
            self._counters.answered(endpoint, status, time.perf_counter() - started)


def exposition(session: Session, counters: Counters, now: datetime) -> bytes:
    """Everything in Prometheus' text format."""
    return generate_latest(counters.registry) + generate_latest(_fleet(session, now))


def _fleet(session: Session, now: datetime) -> CollectorRegistry:
    registry = CollectorRegistry()

    def gauge(name: str, help_text: str, values: dict[str, int] | int, label: str = "") -> None:
        made = Gauge(f"edge_central_{name}", help_text, [label] if label else [], registry=registry)
        if isinstance(values, int):
            made.set(values)
        else:
            for value, count in values.items():
                made.labels(value).set(count)

    def by(column: object, *states: str) -> dict[str, int]:
        rows = session.execute(select(column, func.count()).group_by(column))  # type: ignore[call-overload]
        return dict.fromkeys(states, 0) | {state: count for state, count in rows}  # noqa: C416

    def count(query: object) -> int:
        return session.scalar(query) or 0  # type: ignore[call-overload]

    gauge("devices", "Devices enrolled.", count(select(func.count()).select_from(Device)))
    horizon = utc(now - _SILENT)
    silent = select(func.count()).where(Device.last_seen_at < horizon, Device.enrolled_at < horizon)
    gauge("devices_silent", "Devices not heard of for 72 hours.", count(silent))
    names = ("turns", "dialogues", "completed", "escalated", "unanswered", "blocked")
    sums = [func.sum(getattr(DayFigures, name)) for name in names]
    today = session.execute(select(*sums).where(DayFigures.day == utc(now)[:10])).one()
    counted = {name: int(value or 0) for name, value in zip(names, today, strict=True)}
    gauge("today", "The fleet's UTC day so far, as counted.", counted, "figure")
    handoffs = by(Handoff.status, "open", "taken", "closed")
    gauge("handoffs", "Customers who asked for a person.", handoffs, "status")
    rollouts = by(Rollout.state, "running", "paused", "done", "cancelled")
    gauge("rollouts", "Rollouts.", rollouts, "state")
    waiting = select(func.count()).select_from(Alert).where(Alert.next_at != "")
    gauge("alerts_waiting", "Alerts that the webhook has not taken yet.", count(waiting))
    due = select(func.count()).select_from(DayMark)
    gauge("days_waiting", "Device days whose figures are to be counted again.", count(due))
    return registry
