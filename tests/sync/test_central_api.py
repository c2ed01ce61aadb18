"""The server's HTTP API: who may do what, and bodies that mean harm."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import zstandard
from sqlalchemy import select
from sync_kit import NOW, Central, turn

from edge_runtime.errors import ConfigError
from edge_runtime.journal import Journal
from sync.central import auth
from sync.central.tables import Device, StoredRecord
from sync.errors import CredentialError
from sync.link import Link, check_url, enroll, load_link
from sync.protocol.records import Batch, Record
from sync.protocol.wire import MAX_BATCH_BYTES, MAX_BODY_BYTES, compress, encode_batch
from sync.uplink import Uplink

BOTH_DATABASES = True
OPERATOR_ONLY = [
    ("POST", "/v1/enrolments"), ("GET", "/v1/devices"), ("DELETE", "/v1/devices/x/credential"),
    ("GET", "/v1/metrics/daily?since=2026-03-01&until=2026-03-02"), ("GET", "/v1/handoffs"),
    ("PATCH", "/v1/handoffs/1"), ("GET", "/metrics"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OPERATOR_ONLY)
def test_operators_endpoints_refuse_everybody_else(
    central: Central, link: Link, method: str, path: str
) -> None:
    for token in ("-", "wrong", link.token):
        answer = httpx.request(
            method, central.url + path, headers={"Authorization": f"Bearer {token}"}, json={}
        )
        assert answer.status_code == 401
        assert answer.json()["protocol"] == 1


def test_a_device_cannot_send_as_another(
    central: Central, journal: Journal, client: httpx.Client
) -> None:
    batch = Batch(protocol=1, device_id="other", stream="s", sent_at="x", records=[])
    assert client.post("/v1/ingest", content=encode_batch(batch)).status_code == 403
    headers = {"Authorization": f"Bearer {journal.device_id}.guess"}
    answer = client.post("/v1/ingest", content=encode_batch(batch), headers=headers)
    assert answer.status_code == 401


def test_credentials_and_codes_are_kept_only_as_hashes(central: Central, link: Link) -> None:
    with central.database.read() as session:
        (device,) = session.scalars(select(Device)).all()
    assert device.credential_hash == auth.hashed(link.token.rpartition(".")[2])
    assert link.token.rpartition(".")[2] not in repr(device.__dict__)


def test_a_code_works_once(central: Central, tmp_path: Path) -> None:
    code = central.code()
    enroll(central.url, code.lower().replace("-", " "), "till-1", tmp_path)
    with pytest.raises(CredentialError):
        enroll(central.url, code, "till-2", tmp_path)


def test_a_code_expires(central: Central, tmp_path: Path) -> None:
    with central.database.write() as session:
        code = auth.new_code(session, now=NOW - timedelta(days=2), lifetime=timedelta(days=1))
    with pytest.raises(CredentialError):
        enroll(central.url, code, "till-1", tmp_path)


def test_only_a_code_made_for_it_enrols_a_device_again(central: Central, tmp_path: Path) -> None:
    first = enroll(central.url, central.code(), "till-1", tmp_path)
    with pytest.raises(CredentialError):
        enroll(central.url, central.code(), "till-1", tmp_path)
    with pytest.raises(CredentialError):
        enroll(central.url, central.code(device_id="till-2"), "till-1", tmp_path)
    second = enroll(central.url, central.code(device_id="till-1"), "till-1", tmp_path)
    assert first.token != second.token
    assert load_link(tmp_path) == second
    with central.database.read() as session:
        assert auth.authenticate(session, first.token) is None
        assert auth.authenticate(session, second.token) == "till-1"


BOMB = zstandard.ZstdCompressor(level=19).compress(b"0" * (MAX_BATCH_BYTES * 20))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not zstd", 400),
        (BOMB, 400),
        (compress(b"{"), 400),
        (compress(b"[" * 100_000), 400),
        (compress(b'{"protocol": 2}'), 400),
        (b"\0" * (MAX_BODY_BYTES + 1), 413),
    ],
)
def test_bodies_that_mean_harm_are_refused(
    central: Central, client: httpx.Client, body: bytes, status: int
) -> None:
    answer = client.post("/v1/ingest", content=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"protocol", "error"}
    assert central.ask("GET", "/health").status_code == 200


def test_a_body_that_never_ends_is_cut_off(client: httpx.Client) -> None:
    answer = client.post("/v1/ingest", content=(b"\0" * 65536 for _ in range(2000)))
    assert answer.status_code == 413


def test_a_torn_batch_keeps_nothing(
    central: Central, journal: Journal, client: httpx.Client
) -> None:
    record = Record(seq=1, kind="audit", created_at="x", payload={"event": "e" * 500, "at": "x"})
    batch = Batch(
        protocol=1, device_id=journal.device_id, stream="s", sent_at="x", records=[record]
    )
    whole = encode_batch(batch)
    for cut in range(0, len(whole), 7):
        assert client.post("/v1/ingest", content=whole[:cut]).status_code == 400
    with central.database.read() as session:
        assert session.scalars(select(StoredRecord)).all() == []


def test_days_are_reported_as_documented(
    central: Central, journal: Journal, client: httpx.Client
) -> None:
    for number in range(20):  # four turns a dialogue short of the last one's half hour
        decision = "handover" if number == 7 else "clarify" if number == 11 else "answer"
        journal.record(turn(number, decision=decision), state_json=None)
    Uplink(journal, client).push()
    query = "/v1/metrics/daily?since=2026-03-02&until=2026-03-02"
    (day,) = central.ask("GET", query).json()
    assert (day["device_id"], day["day"], day["turns"]) == (journal.device_id, "2026-03-02", 20)
    assert day["ttff_p50_ms"] == pytest.approx(100.0, rel=0.01)
    assert day["ttff_p95_ms"] == pytest.approx(190.0, rel=0.01)
    assert day["dialogues"] == 7
    assert day["escalation_rate"] == pytest.approx(1 / 7)
    assert day["ccr"] == pytest.approx(5 / 7)
    assert central.ask("GET", query + "&device=nobody").json() == []
    empty = "/v1/metrics/daily?since=2025-03-02&until=2025-03-02"
    assert central.ask("GET", empty).json() == []


@pytest.mark.parametrize(
    "days", ["since=2026-03-02&until=2026-03-01", "since=2020-01-01&until=2026-01-01",
             "since=x&until=y", "since=0001-01-01&until=0001-01-02",
             "since=9999-12-30&until=9999-12-31"]
)  # fmt: skip
def test_days_out_of_range_are_refused(central: Central, days: str) -> None:
    assert central.ask("GET", f"/v1/metrics/daily?{days}").status_code == 422


def test_the_inbox_lists_who_waits_and_moves_them_on(
    central: Central, journal: Journal, client: httpx.Client
) -> None:
    journal.record(turn(0, text="先问一下"), state_json=None)
    journal.record(turn(1, decision="handover", text="叫人来，我电话13800138000"), state_json=None)
    Uplink(journal, client).push()
    (waiting,) = central.ask("GET", "/v1/handoffs").json()
    assert waiting["history"][0]["text"] == "先问一下"
    assert "13800138000" not in waiting["text"]
    path = f"/v1/handoffs/{waiting['id']}"
    assert central.ask("PATCH", path, json={"status": "taken"}).json()["status"] == "taken"
    assert central.ask("GET", "/v1/handoffs").json() == []
    assert len(central.ask("GET", "/v1/handoffs?status=taken").json()) == 1
    assert central.ask("PATCH", path, json={"status": "gone"}).status_code == 422
    assert central.ask("PATCH", "/v1/handoffs/999", json={"status": "open"}).status_code == 404
    text = central.ask("GET", "/metrics").text
    assert 'edge_central_handoffs{status="taken"} 1' in text
    assert 'edge_central_records_total{kind="turn"} 2' in text


def test_devices_are_listed_with_when_they_were_last_seen(
    central: Central, journal: Journal, client: httpx.Client
) -> None:
    journal.record(turn(0), state_json=None)
    Uplink(journal, client).push()
    (device,) = central.ask("GET", "/v1/devices").json()
    assert device["device_id"] == journal.device_id
    assert device["enrolled"]
    assert device["last_seen_at"].startswith("2026-03-02T12:00")
    assert (device["runtime_version"], device["pack"]) == ("0.1.0", "retail 1.0")


def test_a_record_with_an_impossible_time_is_counted_when_it_came(
    central: Central, journal: Journal, client: httpx.Client
) -> None:
    for number, odd in enumerate(["yesterday", "0001-01-01T00:00:00+14:00", "2026-03-02T01:00:00"]):
        journal.record(turn(number, started_at=odd), state_json=None)
    assert Uplink(journal, client).push().quarantined == 0
    (day,) = central.ask("GET", "/v1/metrics/daily?since=2026-03-02&until=2026-03-02").json()
    assert day["turns"] == 3


@pytest.mark.parametrize(
    "url",
    ["http://central.example", "ftp://x", "central.example", "https://", "http://10.0.0.1:8770"],
)
def test_addresses_that_would_leak_the_credential_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        check_url(url)
