"""What looks after the fleet itself: enrolment codes and devices."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from sync.central import audit, auth
from sync.central.api.context import Context
from sync.central.tables import Device
from sync.central.values import utc

_SILENT = timedelta(days=1)
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")]
Shop = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")]
DeviceId = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class Body(BaseModel):
    """What is sent here has no other fields."""

    model_config = ConfigDict(extra="forbid")


class CodeRequest(Body):
    """For whom a one-time code is made, and how long it holds."""

    device_id: Word = ""
    shop: Shop = ""
    minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] = 24 * 60


class CodeAnswer(BaseModel):
    code: str


class DeviceChange(Body):
    """What is not given stays."""

    shop: Shop | None = None
    ring: Word | None = None


def router(context: Context) -> APIRouter:
    """The fleet's endpoints."""
    database, guard, clock = context.database, context.guard, context.clock
    made = APIRouter(tags=["fleet"])
    viewer, operator, admin = (
        [Depends(allowed)] for allowed in (guard.viewer, guard.operator, guard.admin)
    )

    @made.post("/v1/enrolments", dependencies=operator)
    def make_code(request: Request, body: CodeRequest) -> CodeAnswer:
        """A one-time code with which a device enrols."""
        now = clock()
        with database.write() as session:
            code = auth.new_code(
                session,
                now=now,
                lifetime=timedelta(minutes=body.minutes),
                device_id=body.device_id,
                shop=body.shop,
            )
            actor = str(request.state.actor)
            audit.note(session, now, actor, "make code", body.device_id, shop=body.shop)
        return CodeAnswer(code=code)

    @made.get("/v1/devices", dependencies=viewer)
    def devices(
        after: Annotated[str, Query(max_length=128, pattern=r"^[^\x00]*$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> list[dict[str, Any]]:
        """Devices by id; ``silent`` ones were not heard of for a day."""
        query = (
            select(Device).where(Device.device_id > after).order_by(Device.device_id).limit(limit)
        )
        silent = utc(clock() - _SILENT)
        with database.read() as session:
            return [_device_view(found, silent) for found in session.scalars(query)]

    @made.patch("/v1/devices/{device_id}", dependencies=operator)
    def change(request: Request, device_id: DeviceId, body: DeviceChange) -> dict[str, Any]:
        """Move a device to another shop or ring."""
        changes = body.model_dump(exclude_none=True)
        with database.write() as session:
            device = session.get(Device, device_id, with_for_update=True)
            if device is None:
                raise HTTPException(404, "There is no such device.")
            for name, value in changes.items():
                setattr(device, name, value)
            actor = str(request.state.actor)
            audit.note(session, clock(), actor, "change device", device_id, **changes)
            return _device_view(device, utc(clock() - _SILENT))

    @made.delete("/v1/devices/{device_id}/credential", status_code=204, dependencies=admin)
    def revoke(request: Request, device_id: DeviceId) -> None:
        """Lock a device out."""
        with database.write() as session:
            if not auth.revoke(session, device_id):
                raise HTTPException(404, "There is no such device.")
            actor = str(request.state.actor)
            audit.note(session, clock(), actor, "revoke device", device_id)

    return made


def _device_view(device: Device, silent: str) -> dict[str, Any]:
    shown = (
        "device_id", "shop", "ring", "enrolled_at", "last_seen_at", "clock_skew_s",
        "runtime_version", "pack", "running_name", "running_version", "running_sha256",
        "proved_at",
    )  # fmt: skip
    return {name: getattr(device, name) for name in shown} | {
        "enrolled": bool(device.credential_hash),
        "silent": device.last_seen_at < silent,
    }
