"""The web application of one device. It listens on localhost unless told otherwise."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from edge_runtime import __version__
from edge_runtime.api.requests import read_ask
from edge_runtime.api.talk import Conversation, same_origin
from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.errors import EdgeRuntimeError, InputError
from edge_runtime.wire import error_json, event_json

STATIC = Path(str(files("edge_runtime.api"))) / "static"

_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(self)",
    "Cache-Control": "no-store",
}


def create_app(
    assistant: Assistant, *, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
) -> FastAPI:
    """The application serving ``assistant``.

    Args:
        assistant: opened and closed by the caller.
        hosts: accepted ``Host`` headers; anything else is refused (DNS rebinding).
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        assistant.warm_up()
        yield

    app = FastAPI(
        title="edge runtime", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    @app.middleware("http")
    async def secure(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        for name, value in _SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(EdgeRuntimeError)
    async def refused(_: Request, error: EdgeRuntimeError) -> JSONResponse:
        status = 400 if isinstance(error, InputError) else 503
        return JSONResponse(error_json(error), status_code=status)

    @app.get("/api/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "version": __version__, "engines": assistant.engines_loaded()}

    @app.get("/api/info")
    async def info() -> dict[str, Any]:
        return assistant.describe()

    @app.get("/api/pictures/{name:path}")
    async def picture(name: str) -> Response:
        path = assistant.picture(name)
        return FileResponse(path) if path else JSONResponse({"detail": "no such picture"}, 404)

    @app.post("/api/ask")
    async def ask(request: Request) -> Response:
        if not same_origin(request.headers):
            return JSONResponse({"detail": "this page may not ask here"}, 403)
        wanted = await read_ask(request, assistant.settings)
        return StreamingResponse(_lines(assistant, wanted), media_type="application/x-ndjson")

    @app.websocket("/api/talk")
    async def talk(socket: WebSocket) -> None:
        if not same_origin(socket.headers):
            await socket.close(code=1008)
            return
        await Conversation(socket, assistant).run()

    app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")
    return app


async def _lines(assistant: Assistant, wanted: TurnRequest) -> AsyncIterator[str]:
    """The turn's events, one JSON object a line; an error is the last line."""
    try:
        async for event in assistant.turn(wanted):
            yield json.dumps(event_json(event), ensure_ascii=False) + "\n"
    except EdgeRuntimeError as error:
        yield json.dumps(error_json(error), ensure_ascii=False) + "\n"
