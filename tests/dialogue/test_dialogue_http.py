"""Calls to the shop's own system: allowed addresses, offline queue, once and only once."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from dialogue_kit import INTENTS, TODAY, Conversation, make_pack, replies

from edge_runtime.dialogue import Dialogue, OutboundQueue, SqliteShop
from edge_runtime.dialogue.outbound import Call, Delivery
from edge_runtime.errors import PackError, StorageError
from edge_runtime.packs.schema import HttpSkill, Intent, Slot


class ShopSystem(HTTPServer):
    """Acts once for each idempotency key, whatever arrives twice."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.requests: list[tuple[str, str]] = []
        self.booked: dict[str, object] = {}


class _Handler(BaseHTTPRequestHandler):
    server: ShopSystem

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        self.server.requests.append((self.path, key))
        if self.server.status == 200:
            self.server.booked.setdefault(key, json.loads(body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_GET(self) -> None:
        self.server.requests.append((self.path, ""))
        self.send_response(200)
        self.end_headers()
        # Far more than anybody asked for; the client may hang up at any time.
        try:
            for _ in range(100):
                self.wfile.write(b"x" * 65536)
        except OSError:
            self.server.requests.append(("hung up", ""))

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output readable."""


@pytest.fixture
def system() -> Iterator[ShopSystem]:
    with ShopSystem() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def conversation(
    tmp_path: Path, port: int, queue: OutboundQueue, *, method: str = "POST"
) -> Conversation:
    booking = HttpSkill("book", f"http://127.0.0.1:{port}/book", method, ("day",), "booked")  # type: ignore[arg-type]
    slot = Slot("day", "date", True, "ask_day")
    intent = Intent("booking", "", {"zh": ("预约",)}, (slot,), skill="book")
    extra = {"booked": "[booked] {day}", "ask_day": "[ask_day]"}
    pack = make_pack(
        tmp_path / "pack",
        http_skills=(booking,),
        intents={known.name: known for known in (*INTENTS, intent)},
        replies={"zh": replies("zh") | extra},
    )
    shop = SqliteShop(tmp_path / "shop.db", pack, today=lambda: TODAY)
    return Conversation(Dialogue(pack, shop, queue))


def book(chat: Conversation) -> str:
    assert chat.say("我要预约", "booking") == "[ask_day]"
    return chat.say("2026-12-01", entities=[("date", "2026-12-01")])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path: Path, clock: Clock) -> OutboundQueue:
    return OutboundQueue(tmp_path / "outbound.db", now=clock)


def unused_port() -> int:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])


def test_call_that_arrives_is_confirmed_and_not_queued(
    tmp_path: Path, system: ShopSystem, queue: OutboundQueue
) -> None:
    chat = conversation(tmp_path, system.server_port, queue)
    assert book(chat) == "[booked] 2026-12-01"
    assert list(system.booked.values()) == [{"day": "2026-12-01"}]
    assert queue.waiting() == 0


def test_offline_call_waits_and_arrives_exactly_once_when_back_online(
    tmp_path: Path, system: ShopSystem, queue: OutboundQueue, clock: Clock
) -> None:
    system.status = 503
    chat = conversation(tmp_path, system.server_port, queue)
    assert book(chat) == "[zh:queued_offline]"
    assert (chat.dialogue.flush(), queue.waiting()) == (0, 1)
    system.status = 200
    assert chat.dialogue.flush() == 0
    clock.now += 6
    assert chat.dialogue.flush() == 1
    assert (chat.dialogue.flush(), queue.waiting()) == (0, 0)
    assert len({key for _, key in system.requests}) == 1
    assert list(system.booked.values()) == [{"day": "2026-12-01"}]


def test_nobody_listening_queues_and_survives_a_restart(tmp_path: Path, clock: Clock) -> None:
    first = OutboundQueue(tmp_path / "outbound.db", now=clock)
    assert book(conversation(tmp_path, unused_port(), first)) == "[zh:queued_offline]"
    first.close()
    assert OutboundQueue(tmp_path / "outbound.db", now=clock).waiting() == 1


def test_waiting_grows_after_each_failure(queue: OutboundQueue, clock: Clock) -> None:
    queue.add(Call("k", "book", {}))
    tries: list[float] = []

    def fail(call: Call) -> Delivery:
        tries.append(clock.now)
        return "unreachable"

    for _ in range(60):
        queue.flush(fail)
        clock.now += 1
    assert [second - first for first, second in itertools.pairwise(tries)] == [5, 10, 20]


def test_refused_call_is_not_sent_again(
    tmp_path: Path, system: ShopSystem, queue: OutboundQueue
) -> None:
    system.status = 422
    chat = conversation(tmp_path, system.server_port, queue)
    assert book(chat) == "[zh:handover_low_confidence]"
    assert chat.outcome and chat.outcome.handover
    assert queue.waiting() == 0


def test_redirects_are_not_followed(
    tmp_path: Path, system: ShopSystem, queue: OutboundQueue
) -> None:
    system.status = 302
    book(conversation(tmp_path, system.server_port, queue))
    assert [path for path, _ in system.requests] == ["/book"]


def test_answer_is_read_only_so_far(
    tmp_path: Path, system: ShopSystem, queue: OutboundQueue
) -> None:
    chat = conversation(tmp_path, system.server_port, queue, method="GET")
    assert book(chat) == "[booked] 2026-12-01"
    assert system.requests[0] == ("/book?day=2026-12-01", "")


def test_lookup_that_nobody_answers_calls_a_person_and_is_not_queued(
    tmp_path: Path, queue: OutboundQueue
) -> None:
    chat = conversation(tmp_path, unused_port(), queue, method="GET")
    assert book(chat) == "[zh:handover_low_confidence]"
    assert queue.waiting() == 0


def test_same_call_is_kept_once_and_two_senders_never_share_it(
    tmp_path: Path, queue: OutboundQueue, clock: Clock
) -> None:
    queue.add(Call("k", "book", {"day": "1"}))
    queue.add(Call("k", "book", {"day": "1"}))
    other = OutboundQueue(tmp_path / "outbound.db", now=clock)
    sent: list[str] = []

    def send(call: Call) -> Delivery:
        sent.append(call.key)
        return "done"

    def send_while_other_flushes(call: Call) -> Delivery:
        other.flush(send)
        return send(call)

    assert queue.flush(send_while_other_flushes) == 1
    assert sent == ["k"]


@pytest.mark.parametrize(
    "url",
    ["http://example.com/x", "ftp://127.0.0.1/x", "http://127.0.0.1.example.com/", "https:///x"],
)
def test_forbidden_addresses_are_refused_at_start(
    tmp_path: Path, queue: OutboundQueue, url: str
) -> None:
    pack = make_pack(tmp_path / "pack", http_skills=(HttpSkill("book", url, "POST", (), "booked"),))
    with pytest.raises(PackError):
        Dialogue(pack, SqliteShop(tmp_path / "shop.db", pack), queue)


def test_intent_with_an_unknown_skill_is_refused_at_start(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack", intents={"x": Intent("x", "", {}, skill="nothing")})
    with pytest.raises(PackError, match="nothing"):
        Dialogue(pack, SqliteShop(tmp_path / "shop.db", pack))


def test_full_queue_and_damaged_file_are_clear_errors(
    tmp_path: Path, queue: OutboundQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runtime.dialogue.outbound.MAX_WAITING", 0)
    with pytest.raises(StorageError, match="wait"):
        queue.add(Call("k", "book", {}))
    (tmp_path / "shop.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match=r"shop\.db"):
        SqliteShop(tmp_path / "shop.db", make_pack(tmp_path / "pack"))


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "outbound.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="newer"):
        OutboundQueue(tmp_path / "outbound.db")
