"""A server in this process, on either database, and devices and operators that call it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sync.central.app import create_app
from sync.central.database import Database
from sync.central.limits import Rates
from sync.central.objects import Objects
from sync.central.worker import Round, Worker
from sync.protocol.records import Batch, Record
from sync.protocol.wire import encode_batch

FIRST_TOKEN = "the-first-admins-token-of-the-tests"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MANY = Rates(attempts=1_000_000, device=1_000_000, operator=1_000_000)


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Fleet:
    """``tokens`` holds each role's and each device's credential."""

    app: FastAPI
    http: TestClient
    database: Database
    objects: Objects
    clock: Clock
    tokens: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, who: str = "admin", **kw: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} | kw.pop("headers", {})
        answer: httpx.Response = self.http.request(method, path, headers=headers, **kw)
        return answer

    def get(self, path: str, who: str = "admin", **kw: Any) -> Any:
        answer = self.ask("GET", path, who, **kw)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def enrol(self, device_id: str, shop: str = "", ring: str = "") -> None:
        code = self.ask("POST", "/v1/enrolments", json={"shop": shop}).json()["code"]
        body = {"code": code, "device_id": device_id}
        self.tokens[device_id] = self.http.post("/v1/enroll", json=body).json()["token"]
        if ring:
            assert self.ask("PATCH", f"/v1/devices/{device_id}", json={"ring": ring}).is_success

    def operator(self, name: str, role: str) -> None:
        answer = self.ask("POST", "/v1/operators", json={"name": name, "role": role})
        self.tokens[name] = answer.json()["token"]

    def send(
        self, device_id: str, records: list[Record], *, stream: str = "s", who: str = ""
    ) -> httpx.Response:
        batch = Batch(
            protocol=1, device_id=device_id, stream=stream, sent_at=self.clock().isoformat(),
            records=records,
        )  # fmt: skip
        return self.ask("POST", "/v1/ingest", who or device_id, content=encode_batch(batch))

    def work(self, **kw: Any) -> Round:
        return Worker(self.database, clock=self.clock, **kw).round()


@contextmanager
def fleet_on(database: Database, objects: Path, rates: Rates = MANY) -> Iterator[Fleet]:
    """A server on an open database, with its objects in a folder."""
    clock, store = Clock(), Objects(str(objects))
    app = create_app(database, FIRST_TOKEN, objects=store, rates=rates, clock=clock)
    with TestClient(app, raise_server_exceptions=True) as http:
        yield Fleet(app, http, database, store, clock, {"admin": FIRST_TOKEN})


def facts(number: int, **changes: object) -> dict[str, object]:
    """What every record about turn ``number`` carries: a minute apart, three to a session."""
    values: dict[str, object] = {
        "turn_id": f"t{number}",
        "session": f"[SESSION:{number // 3:016x}]",
        "started_at": (NOW - timedelta(hours=3) + timedelta(minutes=number)).isoformat(),
        "language": "zh",
        "source": "text",
        "intent": "return",
        "sentiment": "neutral",
        "decision": "answer",
        "outcome": "done",
        "timings_ms": {"first_token": 10.0 * (number + 1), "total": 500.0},
        "runtime_version": "0.1.0",
        "pack": "retail 1.0",
    }
    return values | changes


def metric(seq: int, number: int, **changes: object) -> Record:
    payload = facts(number, **({"blocked_count": 0} | changes))
    return Record(seq=seq, kind="metric", created_at="x", payload=payload)


def said(seq: int, number: int, **changes: object) -> Record:
    words: dict[str, object] = {"text": "衣服能退吗", "reply": "七天内可以"}
    payload = facts(number, **(words | changes))
    return Record(seq=seq, kind="turn", created_at="x", payload=payload)


def dialogues(count: int, completed: int, *, start: int = 0) -> list[Record]:
    """Metrics of dialogues of one turn each, the first ``completed`` of them completed."""
    return [
        metric(
            start + number + 1, number, session=f"d{start + number}",
            decision="answer" if number < completed else "handover",
        )
        for number in range(count)
    ]  # fmt: skip
