"""The real server against clients that mean ill or do not keep up."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from kiosk_kit import Server
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("kiosk")]

TOO_LARGE = 62 * 2**20


def talk(server: Server, **kwargs: Any) -> ClientConnection:
    address = f"ws://127.0.0.1:{server.port}/api/talk"
    return connect(address, max_size=None, proxy=None, **kwargs)


def ask(socket: ClientConnection, text: str, **fields: object) -> list[dict[str, Any]]:
    socket.send(json.dumps({"type": "ask", "text": text, **fields}))
    events = [json.loads(socket.recv(timeout=90))]
    while events[-1]["type"] not in {"done", "error"}:
        events.append(json.loads(socket.recv(timeout=90)))
    return events


def assert_alive(server: Server) -> None:
    with talk(server) as socket:
        assert ask(socket, "你们几点关门？")[-1]["type"] == "done"


def test_a_message_too_large_closes_that_connection_only(kiosk_server: Server) -> None:
    with talk(kiosk_server) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.send(b"\0" * TOO_LARGE)
        socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    assert_alive(kiosk_server)


def test_a_body_too_large_is_refused_with_a_sentence(kiosk_server: Server) -> None:
    answer = httpx.post(kiosk_server.address + "api/ask", content=b"x" * TOO_LARGE, timeout=60)
    assert answer.status_code == 400
    assert "larger than 60 MiB" in answer.json()["message"]
    assert_alive(kiosk_server)


@pytest.mark.parametrize(
    "content", [b"", b"plain text", b"\x89PNG\r\n\x1a\n" + bytes(200), bytes(1000)]
)
def test_files_that_are_not_what_they_claim_are_refused(
    kiosk_server: Server, content: bytes
) -> None:
    data = base64.b64encode(content).decode() or "===="
    with talk(kiosk_server) as socket:
        assert ask(socket, "", image=data)[-1]["error"] in {"ImageError", "InputError"}
        assert ask(socket, "", audio=data)[-1]["error"] in {"AudioError", "InputError"}
        assert ask(socket, "你们几点关门？")[-1]["type"] == "done"


def test_noise_in_the_frames_is_a_recording_like_any_other(kiosk_server: Server) -> None:
    with talk(kiosk_server) as socket:
        socket.send(json.dumps({"type": "listen", "speak": False}))
        socket.send(bytes(range(256)) * 64)
        socket.send(b"\xff\x7f" * 8000)
        socket.send(json.dumps({"type": "listened"}))
        events = [json.loads(socket.recv(timeout=90))]
        while events[-1]["type"] not in {"done", "error"}:
            events.append(json.loads(socket.recv(timeout=90)))
        assert events[-1]["type"] == "done"


def test_an_empty_recording_is_answered_politely(kiosk_server: Server) -> None:
    with talk(kiosk_server) as socket:
        socket.send(json.dumps({"type": "listen", "language": "en", "speak": False}))
        socket.send(json.dumps({"type": "listened"}))
        events = [json.loads(socket.recv(timeout=90))]
        while events[-1]["type"] not in {"done", "error"}:
            events.append(json.loads(socket.recv(timeout=90)))
    assert events[-1]["decision"] == "clarify"
    assert events[-1]["reply"]


def test_cancelling_at_any_moment_leaves_nothing_late(kiosk_server: Server) -> None:
    with talk(kiosk_server) as socket:
        for number in range(12):
            question = {"type": "ask", "text": "电热水壶不加热怎么办？", "turn": f"q{number}"}
            socket.send(json.dumps(question))
            for _ in range(number % 4):
                socket.recv(timeout=90)
            socket.send(json.dumps({"type": "cancel"}))
            while json.loads(socket.recv(timeout=90))["type"] != "cancelled":
                pass
        events = ask(socket, "怎么开发票？", turn="last")
    assert {event["turn"] for event in events} == {"last"}


def test_a_client_that_never_reads_disturbs_nobody(kiosk_server: Server) -> None:
    with talk(kiosk_server, max_queue=1) as idle:
        for number in range(20):
            idle.send(json.dumps({"type": "ask", "text": "怎么开发票？", "turn": f"q{number}"}))
        assert_alive(kiosk_server)


def test_other_sites_cannot_open_the_conversation(kiosk_server: Server) -> None:
    with pytest.raises(InvalidStatus), talk(kiosk_server, origin="http://evil.example"):
        pass
    headers = {"Host": "evil.example"}
    assert httpx.get(kiosk_server.address + "api/info", headers=headers).status_code == 400
