"""The WebSocket half of the API: turns, microphone frames, barge-in, rubbish."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from edge_runtime.api.requests import read_message
from edge_runtime.errors import InputError
from edge_runtime.running import TurnRequest
from edge_runtime.turn import Event, TextDelta

TALK = "ws://127.0.0.1:8765/api/talk"
FRAME = b"\x01\x00" * 800
"""A twentieth of a second."""


async def for_ever(request: TurnRequest) -> AsyncGenerator[Event]:
    """Begin to answer and never come to an end."""
    yield TextDelta(f"begin {request.text}")
    await asyncio.Event().wait()


@pytest.fixture
def talk(client: TestClient) -> Iterator[Any]:
    with client.websocket_connect(TALK) as socket:
        yield socket


def until(talk: Any, kind: str) -> list[dict[str, Any]]:
    """Events up to and including the first of ``kind``."""
    events = [talk.receive_json()]
    while events[-1]["type"] != kind:
        events.append(talk.receive_json())
    return events


def ask(talk: Any, text: str, turn: str = "") -> list[dict[str, Any]]:
    talk.send_json({"type": "ask", "text": text, "turn": turn})
    return until(talk, "done")


def test_every_event_of_a_turn_carries_its_number(talk: Any) -> None:
    assert {event["turn"] for event in ask(talk, "hi", turn="q1")} == {"q1"}
    assert not [event for event in ask(talk, "hi") if "turn" in event]


def test_microphone_frames_become_one_recording(talk: Any, assistant: Any) -> None:
    talk.send_json({"type": "listen", "session": "s1", "turn": "q1", "speak": False})
    for _ in range(3):
        talk.send_bytes(FRAME)
    talk.send_json({"type": "listened"})
    events = until(talk, "done")
    assert events[0]["type"] == "transcript"
    assert events[-1]["transcript"] == "2400 samples"
    assert {event["turn"] for event in events} == {"q1"}
    assert assistant.requests[-1].session == "s1"


def test_an_empty_recording_is_a_turn_too(talk: Any) -> None:
    talk.send_json({"type": "listen"})
    talk.send_json({"type": "listened"})
    assert until(talk, "done")[-1]["transcript"] == "0 samples"


def test_a_second_listen_forgets_the_first_recording(talk: Any) -> None:
    talk.send_json({"type": "listen"})
    talk.send_bytes(FRAME)
    talk.send_json({"type": "listen", "turn": "q2"})
    talk.send_bytes(FRAME)
    talk.send_json({"type": "listened"})
    assert until(talk, "done")[-1]["transcript"] == "800 samples"


def test_frames_nobody_listens_to_are_dropped(talk: Any) -> None:
    talk.send_bytes(FRAME)
    talk.send_bytes(b"")
    talk.send_json({"type": "listened"})
    assert ask(talk, "hi")[-1]["reply"] == "hi"


def test_a_recording_without_end_is_cut_off_with_a_clear_error(talk: Any) -> None:
    talk.send_json({"type": "listen", "turn": "q1"})
    for _ in range(41):
        talk.send_bytes(FRAME)
    error = talk.receive_json()
    assert (error["error"], error["turn"]) == ("AudioError", "q1")
    assert "longer than 2 seconds" in error["message"]
    assert ask(talk, "hi")[-1]["reply"] == "hi"


def test_a_torn_frame_ends_the_recording_not_the_conversation(talk: Any) -> None:
    talk.send_json({"type": "listen"})
    talk.send_bytes(b"\x01\x00\x01")
    assert talk.receive_json()["error"] == "AudioError"
    assert ask(talk, "hi")[-1]["reply"] == "hi"


@pytest.mark.parametrize(
    "rubbish",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        '{"type": "dance"}',
        '{"type": ["ask"]}',
        '{"text": "no type"}',
        '{"type": "ask", "text": {"a": 1}}',
        '{"type": "listen", "extra": true}',
        "[" * 200_000,
        "9" * 10_000,
        '{"type": "ask", "text": "\\ud800"}',
    ],
)
def test_rubbish_gets_a_clear_sentence_and_the_conversation_goes_on(
    talk: Any, rubbish: str
) -> None:
    talk.send_text(rubbish)
    error = talk.receive_json()
    assert error["error"] == "InputError"
    assert len(error["message"]) < 500
    assert ask(talk, "hi")[-1]["reply"] == "hi"


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_fail_in_another_way(text: str) -> None:
    with pytest.raises(InputError):
        read_message(text)


def test_a_too_long_question_is_refused_under_its_own_number(talk: Any) -> None:
    talk.send_json({"type": "ask", "text": "a" * 101, "turn": "q1"})
    error = talk.receive_json()
    assert (error["error"], error["turn"]) == ("TextError", "q1")
    image = base64.b64encode(b"x" * 200_000).decode()
    talk.send_json({"type": "ask", "image": image, "turn": "q2"})
    assert talk.receive_json()["error"] == "ImageError"


@pytest.mark.parametrize(
    "interruption",
    [
        {"type": "ask", "text": "second", "turn": "q2"},
        {"type": "ask", "text": "b" * 101, "turn": "q2"},
        {"type": "listen", "turn": "q2"},
        {"type": "cancel"},
    ],
)
def test_whatever_the_customer_does_next_stops_the_running_turn(
    talk: Any, assistant: Any, interruption: dict[str, str]
) -> None:
    working, assistant.script = assistant.script, for_ever
    talk.send_json({"type": "ask", "text": "first", "turn": "q1"})
    assert talk.receive_json()["text"] == "begin first"
    assistant.script = working
    talk.send_json(interruption)
    talk.send_json({"type": "ask", "text": "last", "turn": "q3"})
    events = until(talk, "done")
    while events[-1].get("turn") != "q3":
        events += until(talk, "done")
    assert not [event for event in events if event.get("turn") == "q1"]
    assert assistant.closed[0] == "first"


def test_cancel_is_answered_even_when_nothing_runs(talk: Any) -> None:
    talk.send_json({"type": "cancel"})
    assert talk.receive_json() == {"type": "cancelled"}


def test_leaving_stops_the_running_turn(client: TestClient, assistant: Any) -> None:
    assistant.script = for_ever
    with client.websocket_connect(TALK) as talk:
        talk.send_json({"type": "ask", "text": "bye"})
        talk.receive_json()
    assert assistant.closed == ["bye"]


def test_two_pages_do_not_disturb_each_other(client: TestClient, assistant: Any) -> None:
    with client.websocket_connect(TALK) as one, client.websocket_connect(TALK) as two:
        working, assistant.script = assistant.script, for_ever
        one.send_json({"type": "ask", "text": "one", "turn": "a"})
        assert one.receive_json()["turn"] == "a"
        assistant.script = working
        assert ask(two, "two", turn="b")[-1]["reply"] == "two"
        one.send_json({"type": "cancel"})
        assert one.receive_json() == {"type": "cancelled"}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_pages_of_other_sites_may_not_connect(client: TestClient, origin: str) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(TALK, headers={"Origin": origin}),
    ):
        pass
