"""What devices call: enrolment, rotation, records up, offers and the update repository down."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import select

from sync.central import audit, auth, offers
from sync.central.api.context import Context
from sync.central.ingest import ingest
from sync.central.objects import Found, Objects
from sync.central.releases import REPOSITORY
from sync.central.tables import Device
from sync.central.values import utc
from sync.protocol.base import PROTOCOL
from sync.protocol.fleet import EnrollAnswer, EnrollRequest, Poll, PollAnswer
from sync.protocol.records import Ack
from sync.protocol.wire import CONTENT_TYPE, decode_batch

_SEEN_EVERY = timedelta(minutes=4)
"""A device's polls are noted this rarely, so that most of them write nothing."""
_POLLED = select(Device.device_id, Device.ring, Device.running_sha256, Device.last_seen_at)
_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})")
_BATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def router(context: Context) -> APIRouter:
    """The devices' endpoints."""
    database, guard, clock = context.database, context.guard, context.clock
    made = APIRouter(tags=["devices"])
    device = [Depends(guard.device)]

    @made.post("/v1/enroll", dependencies=[Depends(guard.attempt)])
    def enroll(request: EnrollRequest) -> EnrollAnswer:
        """Trade a one-time code for a credential."""
        try:
            with database.write() as session:
                token = auth.redeem_code(
                    session, code=request.code, device_id=request.device_id, now=clock()
                )
                actor = f"device:{request.device_id}"
                audit.note(session, clock(), actor, "enrol", request.device_id)
        except auth.EnrolmentError as error:
            raise HTTPException(403, error.message) from error
        return EnrollAnswer(device_id=request.device_id, token=token)

    @made.post("/v1/credential", dependencies=device)
    def rotate(request: Request) -> EnrollAnswer:
        """A new credential; the old one works until the new one is first used."""
        device_id = request.state.device_id
        with database.write() as session:
            token = auth.rotate(session, device_id)
            audit.note(session, clock(), f"device:{device_id}", "rotate credential", device_id)
        return EnrollAnswer(device_id=device_id, token=token)

    @made.post("/v1/ingest", dependencies=device, openapi_extra=_BATCH_BODY)
    async def take_in(request: Request) -> Ack:
        """Commit a batch of records (zstd-compressed JSON) and say what is accounted for."""
        return await run_in_threadpool(
            _take_in, context, await request.body(), request.state.device_id
        )

    @made.post("/v1/poll", dependencies=device)
    def poll(request: Request, body: Poll) -> PollAnswer:
        """Say what runs here and how the update goes; be told what to install."""
        return _poll(context, request.state.device_id, body)

    @made.get(
        "/v1/repository/{name:path}",
        dependencies=[Depends(guard.device_or_viewer)],
        response_class=Response,
        responses={206: {"description": "A part."}, 416: {"description": "No such part."}},
    )
    def fetch(
        name: Annotated[str, Path(max_length=400)],
        range_: Annotated[str, Header(alias="Range", max_length=100)] = "",
        if_range: Annotated[str, Header(alias="If-Range", max_length=200)] = "",
    ) -> Response:
        """A file of the update repository, or the part of it after what the device has."""
        objects = context.objects
        found = objects.find(f"{REPOSITORY}/{name}") if objects else None
        if objects is None or found is None:
            raise HTTPException(404, "There is no such file.")
        return _part(objects, found, "" if if_range and if_range != found.etag else range_)

    return made


def _take_in(context: Context, body: bytes, device_id: str) -> Ack:
    batch = decode_batch(body)
    if batch.device_id != device_id:
        raise HTTPException(403, "The batch is another device's.")
    taken = ingest(context.database, device_id, batch, context.clock())
    context.counters.stored(taken.kinds)
    return taken.ack


def _poll(context: Context, device_id: str, poll: Poll) -> PollAnswer:
    """Reads first: a poll that changes nothing, as nearly all do, takes no lock."""
    now = context.clock()
    with context.database.read() as session:
        known = session.execute(_POLLED.where(Device.device_id == device_id)).one()
        choice = offers.offer_for(session, known, poll.running)
        proved = poll.running.sha256 if poll.running else known.running_sha256
        changed = (
            poll.update is not None
            or (choice is not None and not choice.known)
            or proved != known.running_sha256
        )
    if changed:
        with context.database.write() as session:
            device = session.get_one(Device, device_id, with_for_update=True)
            device.last_seen_at = utc(now)
            offers.note_poll(device, poll, now)
            if poll.update is not None:
                offers.note_report(session, device, poll.update, poll.running, now)
            choice = offers.offer_for(session, device, poll.running)
            if choice is not None and not choice.known:
                offers.note_offer(session, choice.offer.rollout, device_id, now)
    elif known.last_seen_at < utc(now - _SEEN_EVERY):
        with context.database.write() as session:
            offers.note_seen(session, device_id, poll, now)
    return PollAnswer(protocol=PROTOCOL, offer=choice.offer if choice else None)


def _part(objects: Objects, found: Found, wanted: str) -> Response:
    """As RFC 9110 section 14: one range of bytes; anything else asked for gets the whole file."""
    start, end, status = 0, found.size, 200
    headers = {"Accept-Ranges": "bytes", "ETag": found.etag}
    if match := _RANGE.fullmatch(wanted):
        start = int(match[1])
        end = min(int(match[2]) + 1, found.size) if match[2] else found.size
        if start >= end:
            headers["Content-Range"] = f"bytes */{found.size}"
            raise HTTPException(416, "There is no such part.", headers=headers)
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(
        objects.stream(found, start, end), status, headers, "application/octet-stream"
    )
