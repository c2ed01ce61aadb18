"""The server's application. Every endpoint bounds its input; every error has the same small body.

It keeps nothing of a request in memory, so any number of replicas may serve one database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import select
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from edge_runtime import __version__
from edge_runtime.errors import StorageError
from sync.central.api import devices, figures, fleet, operators, persons, releases
from sync.central.api.context import REFUSALS, Context, Guard
from sync.central.database import Database
from sync.central.limits import DEFAULT_RATES, BodyLimit, Rates
from sync.central.objects import Objects
from sync.central.prometheus import Counters, Timed
from sync.protocol.base import PROTOCOL, ProtocolError, Refusal


class Health(BaseModel):
    status: str
    protocol: int
    version: str


def create_app(
    database: Database,
    operator_token: str,
    *,
    objects: Objects | None = None,
    body_timeout_s: float = 60.0,
    rates: Rates = DEFAULT_RATES,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """The server on an open database.

    Args:
        operator_token: the first admin's.
        objects: where the update repository lies; without one there is none.
        body_timeout_s: within which a body must have arrived.
        rates: requests a minute of each sender.
        clock: the current time, with its zone.
    """
    app = FastAPI(
        title="edge-central",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        responses=REFUSALS,
    )
    context = Context(database, objects, Guard(database, operator_token, rates), Counters(), clock)
    app.add_middleware(BodyLimit, timeout_s=body_timeout_s)
    app.add_middleware(Timed, counters=context.counters)
    _add_error_answers(app)
    for room in (devices, fleet, operators, figures, releases, persons):
        app.include_router(room.router(context))

    @app.get("/health")
    def health() -> Health:
        """Whether the database answers; for a watchdog, without a token."""
        with database.read() as session:
            session.execute(select(1))
        return Health(status="ok", protocol=PROTOCOL, version=__version__)

    return app


def _add_error_answers(app: FastAPI) -> None:
    def answer(status: int, error: str, headers: Any = None) -> JSONResponse:
        return JSONResponse(
            Refusal(protocol=PROTOCOL, error=error[:200]).model_dump(), status, headers
        )

    handlers: dict[type[Exception], Callable[[Any], JSONResponse]] = {
        StarletteHTTPException: lambda e: answer(e.status_code, str(e.detail), e.headers),
        RequestValidationError: lambda e: answer(422, _first(e)),
        ProtocolError: lambda e: answer(400, e.message),
        ClientDisconnect: lambda e: answer(400, "The sender went away."),
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
