"""Bad links, days offline, full disks and wrong clocks: device and server end up equal.

``EDGE_FAULTS=full`` sends ten times as much over the faulty link.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import httpx
import pytest
from fault_proxy import FAULTS, fault_proxy
from sqlalchemy import select
from sync_kit import NOW, Central, turn

from edge_runtime.errors import StorageError
from edge_runtime.journal import Journal
from sync.agent import Agent, Cycle
from sync.central.tables import Device, StoredRecord
from sync.errors import SyncError
from sync.link import Link, enroll, open_client
from sync.protocol.base import ProtocolError
from sync.repair import verify
from sync.uplink import Uplink

TURNS = 2_000 if os.environ.get("EDGE_FAULTS") == "full" else 200
Rows = dict[int, tuple[str, object]]


def outgoing(journal: Journal) -> Rows:
    rows = journal.outbox.pending(limit_bytes=10**9, limit_records=10**6)
    return {row.seq: (row.kind, json.loads(row.payload)) for row in rows}


def arrived(central: Central) -> Rows:
    with central.database.read() as session:
        rows = session.execute(select(StoredRecord.seq, StoredRecord.kind, StoredRecord.payload))
        return {seq: (kind, json.loads(payload)) for seq, kind, payload in rows}


def filled(journal: Journal, count: int) -> Rows:
    journal._db.conn.execute("PRAGMA synchronous = OFF")  # only speeds the filling up
    for number in range(count):
        decision = "handover" if number % 10 == 9 else "answer"
        journal.record(turn(number, decision=decision), state_json=None)
    journal._db.conn.execute("PRAGMA synchronous = FULL")
    return outgoing(journal)


@pytest.mark.timeout(900)
def test_a_link_that_does_everything_wrong_delivers_everything_once(
    journal: Journal, central: Central, link: Link
) -> None:
    expected = filled(journal, TURNS)
    chance = random.Random(20260301)
    failures = 0
    with (
        fault_proxy(central.url, chance) as proxy,
        open_client(replace(link, url=proxy.url)) as client,
    ):
        client.headers["Connection"] = "close"
        uplink = Uplink(journal, client, batch_records=10)
        for _ in range(TURNS):
            if chance.random() < 0.7:
                proxy.faults.append(chance.choice(FAULTS))
            try:
                report = uplink.push(max_batches=1)
            except (SyncError, ProtocolError):
                failures += 1
                continue
            if report.remaining == 0:
                break
        for fault in FAULTS:
            journal.audit("one more", {"fault": fault})
            proxy.faults.append(fault)
            try:
                uplink.push(max_batches=1)
            except (SyncError, ProtocolError):
                failures += 1
        expected |= {seq: row for seq, row in outgoing(journal).items() if seq not in expected}
        proxy.faults.clear()
        uplink.push()
        seen = Counter(proxy.done)
    print(f"{sum(seen.values())} requests, {failures} failed: {dict(seen)}")
    found = arrived(central)
    assert {seq: row for seq, row in expected.items() if found.get(seq) != row} == {}
    assert sorted(found) == list(range(1, journal.outbox.highest() + 1))
    assert journal.outbox.counts().quarantined == 0
    assert set(FAULTS) <= seen.keys()
    assert failures > 5


def test_three_days_offline_cost_few_attempts_and_no_record(
    journal: Journal, central: Central, link: Link
) -> None:
    hours = 72
    simulated = [0.0]
    attempts: list[float] = []
    cycles: list[Cycle] = []
    recorded = 0

    class Cut(httpx.BaseTransport):
        inner = httpx.HTTPTransport()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            attempts.append(simulated[0])
            if simulated[0] < hours * 3600:
                raise httpx.ConnectError("no route")
            return self.inner.handle_request(request)

    class Simulated(Event):
        """Time passes and customers come while the agent waits."""

        def wait(self, timeout: float | None = None) -> bool:
            nonlocal recorded
            simulated[0] += timeout or 0.0
            while recorded < min(simulated[0] / 3600, hours) * 3:
                journal.record(turn(recorded), state_json=None)
                recorded += 1
            if cycles[-1].error is None:
                self.set()
            return self.is_set()

    journal._db.conn.execute("PRAGMA synchronous = OFF")
    with open_client(link, transport=Cut()) as client:
        uplink = Uplink(journal, client)
        journal.record(turn(recorded), state_json=None)
        recorded += 1
        agent = Agent(
            journal, uplink, stop=Simulated(), random=random.Random(1), on_cycle=cycles.append
        )
        agent.run()
    assert recorded == hours * 3
    assert hours * 3600 / 300 < len(attempts) < hours * 60
    assert cycles[-1].report is not None
    assert cycles[-1].report.sent == recorded * 2 == len(arrived(central))
    assert simulated[0] < hours * 3600 + 300 + 60


@pytest.mark.parametrize("side", ["device", "server"])
def test_a_full_disk_holds_records_up_until_there_is_space(
    journal: Journal, central: Central, client: httpx.Client, side: str
) -> None:
    expected = filled(journal, 60)
    uplink = Uplink(journal, client, batch_records=20)
    if side == "device":
        connection = journal._db.conn
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        with pytest.raises(StorageError, match="full"):
            for number in range(100, 300):
                journal.record(turn(number, text="长" * 1_500), state_json=None)
        uplink.push()
        connection.execute("PRAGMA max_page_count = 1000000").fetchall()
        journal.record(turn(999), state_json=None)
        uplink.push()
        found = arrived(central)
        assert {seq for seq, row in expected.items() if found.get(seq) != row} == set()
        assert len(arrived(central)) == journal.outbox.highest()
        return
    full = _limited(central, 1)
    failures = 0
    for _ in range(20):
        try:
            if uplink.push(max_batches=1).remaining == 0:
                break
        except SyncError as error:
            failures += 1
            assert error.retry_after_s == 30
            if failures == 3:
                _limited(central, 10**6)
    assert full
    assert failures == 3
    assert journal.outbox.counts().quarantined == 0
    uplink.push()
    assert arrived(central) == expected


def _limited(central: Central, pages: int) -> bool:
    """Let every connection of the server's pool grow its file by ``pages`` at most."""
    from sqlalchemy import event

    engine = central.database._engine

    @event.listens_for(engine, "checkout")
    def limit(connection: sqlite3.Connection, *_: object) -> None:
        (now,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {now + pages}").fetchall()

    return True


@pytest.mark.parametrize("year", [1970, 2040])
def test_a_wrong_clock_loses_nothing_and_is_seen(
    central: Central, tmp_path: Path, year: int
) -> None:
    wrong = datetime(year, 1, 1, 0, 1, tzinfo=UTC)
    path = tmp_path / "till" / "journal.db"
    with closing(Journal.open(path)) as journal:
        link = enroll(central.url, central.code(), journal.device_id, path.parent)
        filled(journal, 5)
    with closing(Journal.open(path, clock=lambda: wrong)) as journal, open_client(link) as client:
        for number in range(5, 15):
            started = (wrong + timedelta(minutes=number)).isoformat()
            journal.record(turn(number, started_at=started), state_json="x")
        journal.prune()
        assert len(journal.turns_since()) == 15
        expected = outgoing(journal)
        uplink = Uplink(journal, client, now=lambda: wrong)
        uplink.push()
        assert arrived(central) == expected
        assert verify(journal, uplink).sound
    with closing(Journal.open(path)) as journal:  # the clock is right again
        journal.prune(now=NOW)
        journal.record(turn(20), state_json=None)
        assert len(journal.turns_since()) == 16
    with central.database.read() as session:
        skew = session.scalars(select(Device.clock_skew_s)).one()
    assert abs(skew - (NOW - wrong).total_seconds()) < 2
