"""The stream of one turn: order, cancelling, limits, and what happens when a stage fails."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from assistant_kit import (
    FACTS,
    QUESTION,
    Altered,
    ask,
    beep,
    collect,
    generating,
    only,
    shown,
    writing,
)
from assistant_kit import turn as run_turn

from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.config import Settings
from edge_runtime.errors import (
    EngineError,
    EngineTimeoutError,
    ModelMissingError,
    StorageError,
)
from edge_runtime.rooms import Rooms
from edge_runtime.turn import Decision, Done, Speech, TextDelta, Understanding

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("assistant")]

PATIENCE_S = 60


def with_rooms(settings: Settings, rooms: Any, **changed: Any) -> Assistant:
    return Assistant(settings.model_copy(update=changed), rooms=rooms)


# ---- the order of things ----


def test_a_text_turn_goes_through_its_stages_in_order(assistant: Assistant) -> None:
    events = run_turn(assistant, QUESTION)
    kinds = list(dict.fromkeys(type(event) for event in events))
    assert kinds == [Understanding, Decision, TextDelta, Done]
    done = events[-1]
    assert isinstance(done, Done)
    assert shown(events).strip() == done.reply
    assert {"nlu", "dialogue", "guard", "journal", "first_token", "total"} <= set(done.timings_ms)
    assert all(value >= 0 for value in done.timings_ms.values())


def test_done_comes_when_the_turn_is_in_the_journal(assistant: Assistant, rooms: Rooms) -> None:
    session = uuid.uuid4().hex

    async def watch() -> None:
        async for event in assistant.turn(TurnRequest(QUESTION, session=session)):
            kept = rooms.journal.last_turns(session, 9)
            if isinstance(event, Done):
                assert [turn.turn_id for turn in kept] == [event.turn_id]
                assert (kept[0].outcome, kept[0].reply) == ("done", event.reply)
                assert kept[0].text == QUESTION
            else:
                assert all(turn.outcome == "done" for turn in kept)

    asyncio.run(watch())
    assert len(rooms.journal.last_turns(session, 9)) == 1


def test_speech_starts_before_the_reply_is_written(settings: Settings, rooms: Rooms) -> None:
    heard = threading.Event()

    def generate(prompt: Any, stopped: threading.Event) -> Iterator[str]:
        yield "Coats can be returned within 30 days. "
        yield "Keep the tags on. "
        assert heard.wait(PATIENCE_S), "nothing was spoken while the rest was being written"
        yield "Bring the receipt with you."

    assistant = with_rooms(settings, generating(rooms, generate, synthesize=beep))

    async def listen() -> list[Any]:
        events = []
        async for event in assistant.turn(TurnRequest(QUESTION, speak=True)):
            events.append(event)
            if isinstance(event, Speech):
                heard.set()
        return events

    events = asyncio.run(listen())
    spoken = only(Speech, events)
    assert [speech.index for speech in spoken] == list(range(len(spoken)))
    assert "".join("".join(s.text.split()) for s in spoken) == "".join(FACTS.split())
    assert isinstance(events[-1], Done)
    assert events[-1].reply == FACTS


def test_nothing_is_spoken_unless_asked(settings: Settings, rooms: Rooms) -> None:
    assistant = with_rooms(settings, generating(rooms, writing(FACTS), synthesize=beep))
    assert not only(Speech, run_turn(assistant, QUESTION))


# ---- cancelling and limits ----


class Endless:
    """A language model that writes on until it is told to stop."""

    def __init__(self) -> None:
        self.told_to_stop = threading.Event()

    def __call__(self, prompt: Any, stopped: threading.Event) -> Iterator[str]:
        yield "Coats can be returned within 30 days. "
        yield "Keep the tags on. "
        if stopped.wait(PATIENCE_S):
            self.told_to_stop.set()
        yield "This is too late to be heard."


def test_closing_the_stream_cancels_the_turn(settings: Settings, rooms: Rooms) -> None:
    endless, session = Endless(), uuid.uuid4().hex
    assistant = with_rooms(settings, generating(rooms, endless, synthesize=beep))

    async def leave_early() -> list[Any]:
        events = []
        stream = assistant.turn(TurnRequest(QUESTION, session=session, speak=True))
        async for event in stream:
            events.append(event)
            if isinstance(event, TextDelta):
                break
        await stream.aclose()  # type: ignore[attr-defined]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        return events

    events = asyncio.run(leave_early())
    assert endless.told_to_stop.wait(PATIENCE_S)
    assert "too late" not in shown(events)
    (kept,) = rooms.journal.last_turns(session, 9)
    assert kept.outcome == "cancelled"
    assert "too late" not in kept.reply
    assert ask(Assistant(settings, rooms=rooms), QUESTION, session=session).sources


def test_a_cancelled_task_cancels_the_turn(settings: Settings, rooms: Rooms) -> None:
    endless, session = Endless(), uuid.uuid4().hex
    assistant = with_rooms(settings, generating(rooms, endless))

    async def barge_in() -> None:
        said = asyncio.Event()

        async def answer() -> None:
            async for event in assistant.turn(TurnRequest(QUESTION, session=session)):
                if isinstance(event, TextDelta):
                    said.set()

        task = asyncio.create_task(answer())
        await said.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(barge_in())
    assert endless.told_to_stop.wait(PATIENCE_S)
    (kept,) = rooms.journal.last_turns(session, 9)
    assert kept.outcome == "cancelled"


def test_a_turn_that_takes_too_long_is_stopped(settings: Settings, rooms: Rooms) -> None:
    endless, session = Endless(), uuid.uuid4().hex
    slow = with_rooms(settings, generating(rooms, endless), turn_timeout_s=1.0)
    with pytest.raises(EngineTimeoutError, match="1 second"):
        run_turn(slow, QUESTION, session=session)
    assert endless.told_to_stop.wait(PATIENCE_S)
    (kept,) = rooms.journal.last_turns(session, 9)
    assert kept.outcome == "failed"
    assert ask(Assistant(settings, rooms=rooms), QUESTION, session=session).reply


def test_a_model_that_does_not_begin_is_passed_over(settings: Settings, rooms: Rooms) -> None:
    stopped_it = threading.Event()

    def silent(prompt: Any, stopped: threading.Event) -> Iterator[str]:
        if stopped.wait(PATIENCE_S):
            stopped_it.set()
        yield "Too late."

    assistant = with_rooms(settings, generating(rooms, silent), llm_first_token_s=0.2)
    assert ask(assistant, QUESTION).reply == FACTS
    assert stopped_it.wait(PATIENCE_S)


# ---- sessions ----


def test_turns_of_one_session_run_one_after_the_other(settings: Settings, rooms: Rooms) -> None:
    session, running, most, second = uuid.uuid4().hex, [0], [0], threading.Event()

    def decide(*arguments: Any) -> Any:
        running[0] += 1
        most[0] = max(most[0], running[0])
        second.wait(0.3)
        running[0] -= 1
        return rooms.decide(*arguments)

    assistant = with_rooms(settings, Altered(rooms, decide=decide))

    async def both() -> None:
        asked = (QUESTION, "And a bottle of milk?")
        await asyncio.gather(
            *(collect(assistant, TurnRequest(text, session=session)) for text in asked)
        )

    asyncio.run(both())
    assert most == [1]
    assert rooms.journal.last_turns(session, 9)[0].text == QUESTION


def test_turns_of_two_sessions_run_side_by_side(settings: Settings, rooms: Rooms) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_S)

    def decide(*arguments: Any) -> Any:
        meeting.wait()
        return rooms.decide(*arguments)

    assistant = with_rooms(settings, Altered(rooms, decide=decide))

    async def both() -> list[list[Any]]:
        return await asyncio.gather(
            *(collect(assistant, TurnRequest(QUESTION, session=name)) for name in ("a1", "b1"))
        )

    assert all(isinstance(events[-1], Done) for events in asyncio.run(both()))


# ---- stages that fail ----


@pytest.mark.parametrize("error", [EngineError("no sound"), ModelMissingError("no voice")])
def test_a_reply_that_cannot_be_spoken_is_still_shown(
    settings: Settings, rooms: Rooms, error: Exception
) -> None:
    def broken(*_: Any) -> Any:
        raise error

    assistant = with_rooms(settings, generating(rooms, writing(FACTS), synthesize=broken))
    events = run_turn(assistant, QUESTION, speak=True)
    assert not only(Speech, events)
    assert isinstance(events[-1], Done)
    assert events[-1].reply == FACTS


@pytest.mark.parametrize("before", [(), ("Coats can be ",)])
@pytest.mark.parametrize("error", [EngineError("broke"), ModelMissingError("missing")])
def test_without_a_working_model_the_passage_is_quoted(
    settings: Settings, rooms: Rooms, before: tuple[str, ...], error: Exception
) -> None:
    def broken(*_: Any) -> Iterator[str]:
        yield from before
        raise error

    done = ask(with_rooms(settings, generating(rooms, broken)), QUESTION)
    assert done.reply.endswith(FACTS)
    assert done.sources == ("returns#clothing",)


def test_a_model_that_says_nothing_gives_way_to_the_passage(
    settings: Settings, rooms: Rooms
) -> None:
    assert ask(with_rooms(settings, generating(rooms, writing())), QUESTION).reply == FACTS


@pytest.mark.parametrize(
    "pieces",
    [
        ("Keep the tags on, you ", "id", "io", "t."),
        ("Keep the tags on, you ", *"i d i o t", "."),
        ("Keep the tags on, you ", "ｉｄ", "ｉｏｔ", "."),
    ],
)
def test_a_listed_word_cut_into_pieces_is_never_shown(
    settings: Settings, rooms: Rooms, pieces: tuple[str, ...]
) -> None:
    events = run_turn(with_rooms(settings, generating(rooms, writing(*pieces))), QUESTION)
    done = events[-1]
    assert isinstance(done, Done)
    letters = "".join(c for c in shown(events).casefold() if c.isalpha())
    assert "idiot" not in letters
    assert "ｉｄｉｏｔ" not in shown(events)
    assert done.blocked


def test_a_number_that_no_passage_names_is_replaced_by_the_passage(
    settings: Settings, rooms: Rooms
) -> None:
    lie = ("Coats can be returned ", "within 9", "0 days. ", "Keep the tags on.")
    events = run_turn(with_rooms(settings, generating(rooms, writing(*lie))), QUESTION)
    done = events[-1]
    assert isinstance(done, Done)
    assert "90" not in shown(events)
    assert done.reply.endswith(FACTS)
    assert any(name.startswith("claim") for name in done.blocked)


def test_what_the_guard_stops_is_not_spoken_either(settings: Settings, rooms: Rooms) -> None:
    lie = writing("Coats can be returned within 90 days.")
    assistant = with_rooms(settings, generating(rooms, lie, synthesize=beep))
    spoken = only(Speech, run_turn(assistant, QUESTION, speak=True))
    assert spoken
    assert all("90" not in speech.text for speech in spoken)


def test_a_turn_that_cannot_be_kept_is_an_error_not_an_answer(
    settings: Settings, rooms: Rooms
) -> None:
    class Full:
        def record(self, *_: Any, **__: Any) -> int:
            raise StorageError("The disk is full: the journal cannot grow.")

        def __getattr__(self, name: str) -> Any:
            return getattr(rooms.journal, name)

    assistant = with_rooms(settings, Altered(rooms, journal=Full()))
    seen: list[Any] = []

    async def watch() -> None:
        async for event in assistant.turn(TurnRequest(QUESTION)):
            seen.append(event)

    with pytest.raises(StorageError, match="disk is full"):
        asyncio.run(watch())
    assert not only(Done, seen)
    assert ask(Assistant(settings, rooms=rooms), QUESTION).reply
