"""A real server on loopback with faults to order, and turns to record."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from socket import socket

import httpx
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime.journal import TurnRecord
from sync.central.app import create_app
from sync.central.database import Database

OPERATOR = "operators-token-of-the-tests"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def turn(number: int, **changes: object) -> TurnRecord:
    values: dict[str, object] = {
        "turn_id": f"t{number}",
        "session": f"s{number // 3}",
        "started_at": (NOW - timedelta(hours=3) + timedelta(minutes=number)).isoformat(),
        "language": "zh",
        "source": "text",
        "text": "衣服能退吗",
        "reply": "七天内可以",
        "intent": "return",
        "intent_confidence": 0.9,
        "decision": "answer",
        "entities": ({"type": "product", "value": "coat", "text": "衣服"},),
        "timings_ms": {"first_token": 10.0 * (number + 1), "total": 500.0},
        "runtime_version": "0.1.0",
        "pack": "retail 1.0",
    }
    return TurnRecord(**(values | changes))  # type: ignore[arg-type]


@dataclass
class Faults:
    """What goes wrong with the next requests, in order: (what, after the server did its work?)."""

    queue: list[str] = field(default_factory=list)


class Faulty:
    """Wraps the server: answers 500, drops the connection, or cuts, before or after the commit."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self.app, self.faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.faults.queue:
            await self.app(scope, receive, send)
            return
        fault = self.faults.queue.pop(0)
        if fault.endswith("after commit"):

            async def swallow(_: Message) -> None:
                return None

            await self.app(scope, receive, swallow)
        status = {"500": 500, "503": 503, "400 by a proxy": 400}.get(fault.split(",")[0], 200)
        headers = [(b"retry-after", b"77")] if status == 503 else []
        if fault.startswith("cut"):
            headers = [(b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"<html>"})


@dataclass
class Central:
    url: str
    database: Database
    faults: Faults

    def code(self, **wanted: object) -> str:
        answer = self.ask("POST", "/v1/enrolments", json=wanted)
        assert answer.status_code == 200, answer.text
        code: str = answer.json()["code"]
        return code

    def ask(self, method: str, path: str, **kw: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        return httpx.request(method, self.url + path, headers=headers, **kw)  # type: ignore[arg-type]


@contextmanager
def served(address: str, port: int = 0) -> Iterator[Central]:
    """A running server on the database at ``address``; leaving the block stops it."""
    database = Database(address)
    faults = Faults()
    app = Faulty(create_app(database, OPERATOR, body_timeout_s=5, clock=lambda: NOW), faults)
    listener = socket()
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_keep_alive=75)
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup

    async def announced(*args: object, **kw: object) -> None:
        await startup(*args, **kw)  # type: ignore[arg-type]
        started.set()

    server.startup = announced  # type: ignore[method-assign, assignment]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    assert started.wait(30)
    try:
        yield Central(f"http://127.0.0.1:{listener.getsockname()[1]}", database, faults)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        database.close()
