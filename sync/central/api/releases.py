"""Releases and their rollouts."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import Field
from sqlalchemy import select

from sync.central import audit, releases, rollouts
from sync.central.api.context import Context
from sync.central.api.fleet import Body
from sync.central.rollouts import DEFAULT_STAGES, Rule, Stage
from sync.central.tables import DeviceUpdate, Rollout

RolloutId = Annotated[int, Path(ge=1, le=2**53)]


class RolloutRequest(Body):
    """A release's id (``NAME-VERSION``), and how it is to reach the fleet."""

    release: Annotated[str, Field(max_length=140, pattern=r"^[A-Za-z0-9._+-]+$")]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=20)] = DEFAULT_STAGES
    rule: Rule = Rule()


class RolloutChange(Body):
    action: Literal["pause", "resume", "cancel"]


def router(context: Context) -> APIRouter:
    """The releases' endpoints."""
    database, guard, clock = context.database, context.guard, context.clock
    made = APIRouter(tags=["releases"])
    viewer = [Depends(guard.viewer)]
    operator = [Depends(guard.operator)]

    @made.get("/v1/releases", dependencies=viewer)
    def list_releases(
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> list[dict[str, Any]]:
        """Releases with what their cards measured, newest first."""
        with database.read() as session:
            return releases.listed(session, offset=offset, limit=limit)

    @made.post("/v1/rollouts", dependencies=operator)
    def start(request: Request, body: RolloutRequest) -> dict[str, Any]:
        """Begin to offer a release. Older rollouts of the same bundle end."""
        now, actor = clock(), str(request.state.actor)
        with database.write() as session:
            rollout = rollouts.start(session, body.release, body.stages, body.rule, actor, now)
            if rollout is None:
                raise HTTPException(404, "There is no such release.")
            audit.note(session, now, actor, "start rollout", str(rollout.id), release=body.release)
            return rollouts.view(session, rollout, now)

    @made.get("/v1/rollouts", dependencies=viewer)
    def list_rollouts(
        before: Annotated[int, Query(ge=1, le=2**53)] = 2**53,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> list[dict[str, Any]]:
        """Rollouts with their devices counted by state, newest first."""
        query = select(Rollout).where(Rollout.id < before).order_by(Rollout.id.desc()).limit(limit)
        with database.read() as session:
            return [rollouts.view(session, found, clock()) for found in session.scalars(query)]

    @made.get("/v1/rollouts/{rollout_id}/devices", dependencies=viewer)
    def devices(
        rollout_id: RolloutId,
        after: Annotated[str, Query(max_length=128, pattern=r"^[^\x00]*$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> list[dict[str, Any]]:
        """How each device fares, by device id, with the reason and evidence of failures."""
        query = (
            select(DeviceUpdate)
            .where(DeviceUpdate.rollout_id == rollout_id, DeviceUpdate.device_id > after)
            .order_by(DeviceUpdate.device_id)
            .limit(limit)
        )
        with database.read() as session:
            return [_update_view(found) for found in session.scalars(query)]

    @made.patch("/v1/rollouts/{rollout_id}", dependencies=operator)
    def change(request: Request, rollout_id: RolloutId, body: RolloutChange) -> dict[str, Any]:
        """Pause, resume or cancel."""
        now = clock()
        with database.write() as session:
            rollout = session.get(Rollout, rollout_id, with_for_update=True)
            if rollout is None:
                raise HTTPException(404, "There is no such rollout.")
            if not rollouts.change(rollout, body.action, now):
                raise HTTPException(409, f"A rollout that is {rollout.state} cannot {body.action}.")
            actor = str(request.state.actor)
            audit.note(session, now, actor, f"{body.action} rollout", str(rollout_id))
            return rollouts.view(session, rollout, now)

    return made


def _update_view(update: DeviceUpdate) -> dict[str, Any]:
    shown = ("device_id", "state", "offered_at", "updated_at", "reason")
    return {name: getattr(update, name) for name in shown} | {
        "evidence": json.loads(update.evidence)
    }
