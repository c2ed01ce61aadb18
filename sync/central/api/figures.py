"""Figures, unanswered questions, alerts, the handoff inbox, and what Prometheus reads."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from sync.central import alerts, audit, inbox, reports
from sync.central.api.context import Context
from sync.central.api.fleet import Body
from sync.central.prometheus import exposition
from sync.central.reports import Dimension, Wanted

Value = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Before = Annotated[int, Query(ge=1, le=2**53)]


class DailyQuery(Body):
    """Days, both included; what tells the rows apart; and only where these match."""

    since: date
    until: date
    by: Annotated[tuple[Dimension, ...], Field(max_length=5)] = ("device",)
    device: Value = ""
    shop: Value = ""
    version: Value = ""
    pack: Value = ""
    language: Value = ""
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    limit: Annotated[int, Field(ge=1, le=5000)] = 1000

    def wanted(self) -> Wanted:
        _check_days(self.since, self.until)
        only: dict[Dimension, str] = {
            "device": self.device, "shop": self.shop, "version": self.version,
            "pack": self.pack, "language": self.language,
        }  # fmt: skip
        return Wanted(
            self.since,
            self.until,
            by=tuple(dict.fromkeys(self.by)),
            only={dimension: value for dimension, value in only.items() if value},
            offset=self.offset,
            limit=self.limit,
        )


class HandoffChange(Body):
    status: inbox.Status


def router(context: Context) -> APIRouter:
    """The figures' endpoints."""
    database, guard, clock = context.database, context.guard, context.clock
    made = APIRouter(tags=["figures"])
    viewer = [Depends(guard.viewer)]
    operator = [Depends(guard.operator)]

    @made.get("/v1/metrics/daily", dependencies=viewer)
    def daily(asked: Annotated[DailyQuery, Query()]) -> list[dict[str, Any]]:
        """Figures by day and, unless ``by`` says otherwise, device."""
        return reports.daily(database, asked.wanted(), clock())

    @made.get("/v1/metrics/unanswered", dependencies=viewer)
    def unanswered(
        since: date,
        until: date,
        language: Value = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> list[dict[str, Any]]:
        """The latest questions that got no answer."""
        _check_days(since, until)
        with database.read() as session:
            return list(
                reports.unanswered(
                    session, since=since, until=until, language=language, limit=limit
                )
            )

    @made.get("/v1/alerts", dependencies=viewer)
    def list_alerts(
        before: Before = 2**53, limit: Annotated[int, Query(ge=1, le=500)] = 100
    ) -> list[dict[str, Any]]:
        """Alerts, newest first, and whether the webhook has taken them."""
        with database.read() as session:
            return list(alerts.listed(session, before=before, limit=limit))

    @made.get("/v1/handoffs", dependencies=viewer)
    def handoffs(
        status: inbox.Status = "open",
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> list[dict[str, Any]]:
        """Customers who asked for a person, oldest first."""
        with database.read() as session:
            return inbox.waiting(session, status=status, after=after, limit=limit)

    @made.patch("/v1/handoffs/{handoff_id}", dependencies=operator)
    def change_handoff(
        request: Request, handoff_id: Annotated[int, Path(ge=1, le=2**53)], change: HandoffChange
    ) -> dict[str, Any]:
        """Take a customer on, close the case, or open it again."""
        with database.write() as session:
            moved = inbox.move(session, handoff_id, change.status, clock())
            if moved is None:
                raise HTTPException(404, "There is no such handoff.")
            actor = str(request.state.actor)
            audit.note(session, clock(), actor, f"handoff {change.status}", str(handoff_id))
        return moved

    @made.get("/metrics", response_class=Response, dependencies=viewer)
    def metrics() -> Response:
        """Counters and gauges in Prometheus' text format."""
        with database.read() as session:
            text = exposition(session, context.counters, clock())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return made


def _check_days(since: date, until: date) -> None:
    if not timedelta(0) <= until - since < timedelta(days=reports.MAX_DAYS):
        raise HTTPException(422, f"Ask for 1 to {reports.MAX_DAYS} days.")
    if not 1971 <= since.year <= until.year <= 9000:
        raise HTTPException(422, "These days are out of range.")
