"""Two replicas on one PostgreSQL database: what must happen once happens once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from central_kit import NOW, Fleet, dialogues, fleet_on, said
from sqlalchemy import func, select

from sync.central.alerts import Webhook
from sync.central.database import Database
from sync.central.tables import Alert, Device, StoredRecord

Found = TypeVar("Found")
AT_ONCE = 8


@pytest.fixture
def replicas(postgres: Callable[[], str], tmp_path: Path) -> Iterator[tuple[Fleet, Fleet]]:
    address = postgres()
    with ExitStack() as running:
        made = []
        for _ in range(2):
            database = running.enter_context(closing(Database(address)))
            made.append(running.enter_context(fleet_on(database, tmp_path / "objects")))
        first, second = made
        second.tokens, second.clock.now = first.tokens, NOW
        yield first, second


def together(work: Callable[[int], Found]) -> list[Found]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, range(AT_ONCE)))


def count(fleet: Fleet, table: type[Device | StoredRecord | Alert]) -> int:
    with fleet.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_device_may_be_answered_by_another_replica_every_time(
    replicas: tuple[Fleet, Fleet],
) -> None:
    first, second = replicas
    first.enrol("till-1")
    assert first.send("till-1", [said(1, 0)]).json()["contiguous"] == 1
    assert second.send("till-1", [said(2, 1), said(1, 0)]).json()["contiguous"] == 2
    assert second.ask("DELETE", "/v1/devices/till-1/credential").is_success
    assert first.send("till-1", [said(3, 2)]).status_code == 401


def test_a_code_shown_to_both_at_once_admits_one_device(replicas: tuple[Fleet, Fleet]) -> None:
    code = replicas[0].ask("POST", "/v1/enrolments", json={}).json()["code"]

    def enrol(number: int) -> int:
        body = {"code": code, "device_id": f"till-{number}"}
        return replicas[number % 2].http.post("/v1/enroll", json=body).status_code

    assert sorted(together(enrol)) == [200, *[403] * (AT_ONCE - 1)]
    assert count(replicas[0], Device) == 1


def test_a_batch_sent_to_both_at_once_is_kept_once(replicas: tuple[Fleet, Fleet]) -> None:
    replicas[0].enrol("till-1")
    records = [said(number, number) for number in range(1, 41)]

    def send(number: int) -> httpx.Response:
        return replicas[number % 2].send("till-1", records)

    answers = together(send)
    assert {(a.status_code, a.json()["contiguous"]) for a in answers} == {(200, 40)}
    assert count(replicas[0], StoredRecord) == 40


def test_an_alert_found_by_both_at_once_is_raised_and_told_once(
    replicas: tuple[Fleet, Fleet],
) -> None:
    replicas[0].enrol("till-1", shop="Main")
    replicas[0].send("till-1", dialogues(40, 20))
    told: list[httpx.Request] = []

    def hook(request: httpx.Request) -> httpx.Response:
        told.append(request)
        return httpx.Response(200)

    for fleet in replicas:
        fleet.clock.move(minutes=5)
    client = httpx.Client(transport=httpx.MockTransport(hook))
    webhook = Webhook("https://hook.example/x", "shared")
    days = together(lambda n: replicas[n % 2].work(webhook=webhook, client=client).days)
    for fleet in replicas:
        fleet.work(webhook=webhook, client=client)
    assert sum(days) == 1
    assert count(replicas[0], Alert) == 1
    assert len(told) == 1
