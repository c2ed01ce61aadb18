"""The HTTP API. Every endpoint bounds its input; every error has the same small body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime import __version__
from edge_runtime.errors import StorageError
from sync.central import auth, inbox, person_routes, reports
from sync.central.database import Database
from sync.central.ingest import ingest
from sync.central.tables import Device
from sync.protocol import (
    MAX_BODY_BYTES,
    PROTOCOL,
    Ack,
    EnrollAnswer,
    EnrollRequest,
    ProtocolError,
    Refusal,
    decode_batch,
)

_SMALL_BODY_BYTES = 64 * 1024
_bearer = HTTPBearer(auto_error=False)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


class CodeRequest(BaseModel):
    """For whom a one-time code is made, and how long it holds."""

    model_config = ConfigDict(extra="forbid")

    device_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    shop: Annotated[str, Field(max_length=200)] = ""
    minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] = 24 * 60


class CodeAnswer(BaseModel):
    code: str


class HandoffChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: inbox.Status


class BodyLimit:
    """Stops reading a request's body at its endpoint's limit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = MAX_BODY_BYTES if scope.get("path") == "/v1/ingest" else _SMALL_BODY_BYTES
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"The body is larger than {limit} bytes.")
            return message

        await self._app(scope, limited if scope["type"] == "http" else receive, send)


def create_app(
    database: Database,
    operator_token: str,
    *,
    body_timeout_s: float = 60.0,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """The server on an open database.

    Args:
        body_timeout_s: within which a batch must have arrived.
        clock: the current time, with its zone.
    """
    app = FastAPI(title="edge-central", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit)
    _add_error_answers(app)
    operator_hash = auth.hashed(operator_token)

    def device(request: Request, bearer: Bearer) -> None:
        with database.read() as session:
            found = auth.authenticate(session, bearer.credentials) if bearer else None
        if found is None:
            raise HTTPException(401, "A device's credential is needed.")
        request.state.device_id = found

    def operator(bearer: Bearer) -> None:
        if bearer is None or not auth.same(bearer.credentials, operator_hash):
            raise HTTPException(401, "The operators' token is needed.")

    _add_device_endpoints(app, database, clock, device, body_timeout_s)
    _add_operator_endpoints(app, database, clock, operator)
    app.include_router(person_routes.router(database, device, operator, clock))

    @app.get("/health")
    def health() -> dict[str, Any]:
        with database.read() as session:
            session.execute(select(1))
        return {"status": "ok", "protocol": PROTOCOL, "version": __version__}

    return app


def _add_device_endpoints(
    app: FastAPI,
    database: Database,
    clock: Callable[[], datetime],
    device: Callable[..., None],
    body_timeout_s: float,
) -> None:
    @app.post("/v1/enroll")
    def enroll(request: EnrollRequest) -> EnrollAnswer:
        try:
            with database.write() as session:
                token = auth.redeem_code(
                    session, code=request.code, device_id=request.device_id, now=clock()
                )
        except auth.EnrolmentError as error:
            raise HTTPException(403, error.message) from error
        return EnrollAnswer(device_id=request.device_id, token=token)

    @app.post("/v1/ingest", dependencies=[Depends(device)])
    async def take_in(request: Request) -> Ack:
        try:
            async with asyncio.timeout(body_timeout_s):
                body = await request.body()
        except TimeoutError:
            raise HTTPException(408, "The body arrived too slowly.") from None
        return await run_in_threadpool(_take_in, body, request.state.device_id)

    def _take_in(body: bytes, device_id: str) -> Ack:
        batch = decode_batch(body)
        if batch.device_id != device_id:
            raise HTTPException(403, "The batch is another device's.")
        return ingest(database, device_id, batch, clock())


def _add_operator_endpoints(
    app: FastAPI,
    database: Database,
    clock: Callable[[], datetime],
    operator: Callable[..., None],
) -> None:
    guarded: dict[str, Any] = {"dependencies": [Depends(operator)]}

    @app.post("/v1/enrolments", **guarded)
    def make_code(request: CodeRequest) -> CodeAnswer:
        with database.write() as session:
            code = auth.new_code(
                session,
                now=clock(),
                lifetime=timedelta(minutes=request.minutes),
                device_id=request.device_id,
                shop=request.shop,
            )
        return CodeAnswer(code=code)

    @app.get("/v1/devices", **guarded)
    def devices(
        after: Annotated[str, Query(max_length=128)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> list[dict[str, Any]]:
        query = (
            select(Device).where(Device.device_id > after).order_by(Device.device_id).limit(limit)
        )
        with database.read() as session:
            return [_device_view(found) for found in session.scalars(query)]

    @app.delete("/v1/devices/{device_id}/credential", status_code=204, **guarded)
    def revoke(device_id: Annotated[str, Path(max_length=128)]) -> None:
        with database.write() as session:
            if not auth.revoke(session, device_id):
                raise HTTPException(404, "There is no such device.")

    @app.get("/v1/metrics/daily", **guarded)
    def daily(
        since: date, until: date, device: Annotated[str, Query(max_length=128)] = ""
    ) -> list[dict[str, Any]]:
        if not timedelta(0) <= until - since < timedelta(days=reports.MAX_DAYS):
            raise HTTPException(422, f"Ask for 1 to {reports.MAX_DAYS} days.")
        if not 1971 <= since.year <= until.year <= 9000:
            raise HTTPException(422, "These days are out of range.")
        with database.read() as session:
            found = reports.daily(session, since=since, until=until, now=clock(), device_id=device)
            return [asdict(report) for report in found]

    @app.get("/v1/handoffs", **guarded)
    def handoffs(
        status: inbox.Status = "open",
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> list[dict[str, Any]]:
        with database.read() as session:
            return inbox.waiting(session, status=status, after=after, limit=limit)

    @app.patch("/v1/handoffs/{handoff_id}", **guarded)
    def change_handoff(
        handoff_id: Annotated[int, Path(ge=1, le=2**53)], change: HandoffChange
    ) -> dict[str, Any]:
        with database.write() as session:
            moved = inbox.move(session, handoff_id, change.status, clock())
        if moved is None:
            raise HTTPException(404, "There is no such handoff.")
        return moved

    @app.get("/metrics", response_class=PlainTextResponse, **guarded)
    def metrics() -> PlainTextResponse:
        with database.read() as session:
            text = reports.prometheus(session)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


def _device_view(device: Device) -> dict[str, Any]:
    shown = (
        "device_id", "shop", "enrolled_at", "last_seen_at", "clock_skew_s", "runtime_version",
        "pack",
    )  # fmt: skip
    enrolled = bool(device.credential_hash)
    return {name: getattr(device, name) for name in shown} | {"enrolled": enrolled}


def _add_error_answers(app: FastAPI) -> None:
    def answer(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse(
            Refusal(protocol=PROTOCOL, error=error[:200]).model_dump(), status, headers
        )

    handlers: dict[type[Exception], Callable[[Any], JSONResponse]] = {
        StarletteHTTPException: lambda e: answer(e.status_code, str(e.detail), e.headers),
        RequestValidationError: lambda e: answer(422, _first(e)),
        ProtocolError: lambda e: answer(400, e.message),
        StorageError: lambda e: answer(503, e.message, {"Retry-After": "30"}),
    }
    for kind, build in handlers.items():
        app.add_exception_handler(kind, _handler(build))


def _handler(
    build: Callable[[Any], JSONResponse],
) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def handle(_: Request, error: Exception) -> JSONResponse:
        return build(error)

    return handle


def _first(error: RequestValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
