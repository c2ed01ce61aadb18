"""The web application of one device. It listens on localhost unless told otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from edge_runtime import __version__
from edge_runtime.api.events import answer_events
from edge_runtime.api.requests import read_ask
from edge_runtime.api.security import SecurityHeaders, same_origin
from edge_runtime.api.talk import Conversation
from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.errors import EdgeRuntimeError, InputError
from edge_runtime.turn import Passage
from edge_runtime.wire import error_json

STATIC = Path(str(files("edge_runtime.api"))) / "static"

_MAX_NAME = 200
"""Longer names of pictures and sources are nobody's."""
_MAX_SOURCES = 16

_HOUSEKEEPING_S = 60.0


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
        housekeeping = asyncio.create_task(_keep_house(assistant))
        yield
        housekeeping.cancel()

    app = FastAPI(title="edge runtime", version=__version__, lifespan=lifespan, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_middleware(SecurityHeaders)

    @app.exception_handler(EdgeRuntimeError)
    async def refused(_: Request, error: EdgeRuntimeError) -> JSONResponse:
        status = 400 if isinstance(error, InputError) else 503
        return JSONResponse(error_json(error), status_code=status)

    @app.get("/api/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "version": __version__, "engines": assistant.engines_loaded()}

    @app.get("/api/info")
    async def info() -> dict[str, Any]:
        settings = assistant.settings
        limits = {"text_chars": settings.max_text_chars, "audio_s": settings.max_audio_s}
        return {**assistant.describe(), "limits": limits}

    @app.get("/api/pictures/{name:path}")
    async def picture(name: str) -> Response:
        path = assistant.picture(name) if _plain(name) else None
        return FileResponse(path) if path else JSONResponse({"detail": "no such picture"}, 404)

    @app.get("/api/sources")
    async def sources(
        ids: Annotated[list[str], Query(alias="id", max_length=_MAX_SOURCES)], language: str = ""
    ) -> list[dict[str, Any]]:
        """Those of the ids that are passages; orders, tickets and receipts are none."""
        wanted = [name for name in ids if _plain(name)] if _plain(language) else []
        found = [await run_in_threadpool(assistant.passage, name, language) for name in wanted]
        return [_source(passage) for passage in found if passage]

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


def _plain(name: str) -> bool:
    """Whether ``name`` can be looked up at all: no file system likes a NUL or a novel."""
    return len(name) <= _MAX_NAME and name.isprintable()


def _source(passage: Passage) -> dict[str, Any]:
    shown = {"id": passage.id, "title": passage.title, "text": passage.text}
    return {**shown, "images": list(passage.images)}


async def _lines(assistant: Assistant, wanted: TurnRequest) -> AsyncGenerator[str]:
    """The turn's events, one JSON object a line; an error is the last line."""
    async with aclosing(answer_events(assistant, wanted)) as events:
        async for event in events:
            yield json.dumps(event, ensure_ascii=False) + "\n"


async def _keep_house(assistant: Assistant) -> None:
    while True:
        await asyncio.sleep(_HOUSEKEEPING_S)
        await asyncio.to_thread(assistant.keep_house)
