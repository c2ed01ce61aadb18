"""Requests made to cost memory or time: each is refused, keeps nothing, and the next is served."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import zstandard
from central_kit import FIRST_TOKEN, MANY, Fleet
from sqlalchemy import func, select

from sync.central.app import create_app
from sync.central.commands.serve import server_for
from sync.central.database import Database
from sync.central.patience import PatientProtocol
from sync.central.settings import CentralSettings
from sync.central.tables import StoredRecord
from sync.protocol.records import MAX_RECORDS
from sync.protocol.wire import MAX_BATCH_BYTES, compress

ON_SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
DEEP = 30_000
PATIENCE_S = 30


def batch(records: str) -> bytes:
    text = (
        '{"protocol": 1, "device_id": "till-1", "stream": "s", "sent_at": "x", '
        f'"records": {records}}}'
    )
    return compress(text.encode())


def record(seq: int, payload: str = "{}") -> str:
    return f'{{"seq": {seq}, "kind": "newer", "created_at": "x", "payload": {payload}}}'


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


BATCHES = {
    "a frame that says it is larger than allowed": zstandard.ZstdCompressor(level=19).compress(
        b"0" * (MAX_BATCH_BYTES * 8)
    ),
    "a frame that does not say how large it is": zstandard.ZstdCompressor(
        write_content_size=False
    ).compress(b"0" * (MAX_BATCH_BYTES * 8)),
    "frame after frame": compress(b"[]") * 10_000,
    "arrays in arrays": batch("[" * DEEP + "]" * DEEP),
    "objects in objects of a payload": batch(f"[{record(1, nested(DEEP))}]"),
    "one record too many": batch(f"[{','.join(map(record, range(1, MAX_RECORDS + 2)))}]"),
    "a hundred thousand records": batch(f"[{','.join([record(1)] * 100_000)}]"),
    "a million nothings": batch(f"[{','.join(['0'] * 10**6)}]"),
    "a number of a million digits": batch(f"[{record(10**15).replace('0' * 15, '0' * 10**6)}]"),
}


@ON_SQLITE
@pytest.mark.parametrize("what", BATCHES)
def test_a_batch_that_would_burst_is_refused_whole(fleet: Fleet, what: str) -> None:
    fleet.enrol("till-1")
    answer = fleet.ask("POST", "/v1/ingest", "till-1", content=BATCHES[what])
    assert answer.status_code == 400, answer.text
    assert len(answer.content) < 1_000
    with fleet.database.read() as session:
        assert session.scalar(select(func.count()).select_from(StoredRecord)) == 0
    assert fleet.http.get("/health").status_code == 200


@ON_SQLITE
def test_a_payload_as_deep_as_can_be_read_can_be_kept_and_sent_again(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    for depth in (10, 100, 150, 250, 1000):
        body = batch(f"[{record(depth, nested(depth))}]")
        first = fleet.ask("POST", "/v1/ingest", "till-1", content=body)
        assert first.status_code in {200, 400}
        again = fleet.ask("POST", "/v1/ingest", "till-1", content=body)
        assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert fleet.ask("POST", "/v1/ingest", "till-1", content=batch("[]")).status_code == 200


@ON_SQLITE
@pytest.mark.parametrize(
    "body", [b"[" * DEEP, b'{"update":' * (DEEP // 5), b'{"protocol":' + b"9" * DEEP + b"}"]
)
def test_json_made_to_overflow_is_refused(fleet: Fleet, body: bytes) -> None:
    fleet.enrol("till-1")
    headers = {"Content-Type": "application/json"}
    answer = fleet.ask("POST", "/v1/poll", "till-1", content=body, headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert set(answer.json()) == {"protocol", "error"}


class Hasty(PatientProtocol):
    head_timeout_s = 0.5


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """What ``edge-central serve`` runs, in a hurry."""
    monkeypatch.setattr("sync.central.commands.serve.PatientProtocol", Hasty)
    database = Database(f"sqlite:///{tmp_path / 'central.db'}")
    app = create_app(database, FIRST_TOKEN, body_timeout_s=0.5, rates=MANY)
    server = server_for(app, CentralSettings(data_dir=tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
    database.close()


def answered(address: tuple[str, int], *pieces: bytes) -> tuple[int, bytes]:
    """How many of the pieces the server took, and what it said before it closed the connection."""
    with socket.create_connection(address, timeout=PATIENCE_S) as connection:
        taken = 0
        with suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
                taken += 1
        said = b""
        with suppress(ConnectionError):
            while piece := connection.recv(65_536):
                said += piece
        return taken, said


def is_well(address: tuple[str, int]) -> bool:
    return httpx.get(f"http://{address[0]}:{address[1]}/health").status_code == 200


@pytest.mark.parametrize(
    "start",
    [b"GET /v1/repository/", b"GET /health HTTP/1.1\r\nX: ", b"GET /health?"],
    ids=["path", "header", "query"],
)
def test_a_head_that_never_ends_is_cut_off(address: tuple[str, int], start: bytes) -> None:
    taken, said = answered(address, start, *[b"a" * 65_536] * 1_000)
    assert taken < 1_000
    assert said == b"" or said.startswith(b"HTTP/1.1 400")
    assert is_well(address)


def test_ten_thousand_headers_are_refused(address: tuple[str, int]) -> None:
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(10_000))
    _, said = answered(address, b"GET /health HTTP/1.1\r\n" + lines + b"\r\n")
    assert said == b"" or said.startswith(b"HTTP/1.1 400")
    assert is_well(address)


@pytest.mark.parametrize(
    "head", [b"", b"GET", b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: "], ids=["none", "word", "most"]
)
def test_a_connection_that_does_not_say_what_it_wants_is_closed(
    address: tuple[str, int], head: bytes
) -> None:
    assert answered(address, head) == (1, b"")
    assert is_well(address)


def test_a_second_request_that_does_not_end_is_closed_too(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        said = b""
        with suppress(ConnectionError):
            while piece := connection.recv(65_536):
                said += piece
    assert b"HTTP" not in said


def test_a_body_that_trickles_is_given_up(address: tuple[str, int]) -> None:
    http = f"http://{address[0]}:{address[1]}"
    admin = {"Authorization": f"Bearer {FIRST_TOKEN}"}
    code = httpx.post(f"{http}/v1/enrolments", json={}, headers=admin).json()["code"]
    enrolled = httpx.post(f"{http}/v1/enroll", json={"code": code, "device_id": "till-1"})
    head = (
        f"POST /v1/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        f"Authorization: Bearer {enrolled.json()['token']}\r\n\r\nslow"
    )
    with socket.create_connection(address, timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode())
        said = b""
        while not said.endswith(b'"}') and (piece := connection.recv(65_536)):
            said += piece
        assert said.startswith(b"HTTP/1.1 408")
        assert b"The body arrived too slowly." in said
        connection.sendall(b"er")  # nobody reads it any more
        assert connection.recv(65_536) == b""
    assert is_well(address)
