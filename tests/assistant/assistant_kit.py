"""Asking the assistant, and stages of which some are played by the test."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from edge_runtime.answering import Answer
from edge_runtime.assistant import Assistant, TurnRequest
from edge_runtime.generation import Prompt
from edge_runtime.rooms import Rooms
from edge_runtime.turn import Audio, Done, Event, Evidence, Passage, TextDelta

T = TypeVar("T")

FACTS = "Coats can be returned within 30 days. Keep the tags on. Bring the receipt with you."
PASSAGE = Passage("returns#clothing", "Clothing", FACTS, "en", "faq", "returns", 0.7)
QUESTION = "Can I return the coat I bought last week?"


class Altered:
    """Real stages, some of whose methods the test plays itself."""

    def __init__(self, rooms: Rooms, **played: Any) -> None:
        self._rooms = rooms
        self.__dict__.update(played)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rooms, name)


def generating(rooms: Rooms, generate: Callable[..., Iterator[str]], **played: Any) -> Altered:
    """Stages whose answer to any question is what ``generate`` writes, grounded in ``FACTS``."""

    def answer(*_: Any) -> Answer:
        prompt = Prompt("", "", QUESTION)
        return Answer(FACTS, prompt=prompt, sources=(PASSAGE.id,), evidence=(FACTS,))

    def evidence(*_: Any) -> Evidence:
        return Evidence((PASSAGE,))

    return Altered(rooms, generate=generate, evidence=evidence, answer=answer, **played)


def writing(*pieces: str) -> Callable[..., Iterator[str]]:
    """A language model that writes ``pieces``."""
    return lambda prompt, stopped: iter(pieces)


def beep(text: str, language: str, cancelled: Any) -> Audio:
    """A synthesiser for tests that are not about sound."""
    return Audio(np.zeros(2400, dtype=np.float32), 24_000)


async def collect(assistant: Assistant, request: TurnRequest) -> list[Event]:
    return [event async for event in assistant.turn(request)]


def turn(assistant: Assistant, text: str = "", **request: Any) -> list[Event]:
    """Every event of one turn, in a session of its own unless told otherwise."""
    request.setdefault("session", uuid.uuid4().hex)
    return asyncio.run(collect(assistant, TurnRequest(text, **request)))


def ask(assistant: Assistant, text: str = "", **request: Any) -> Done:
    last = turn(assistant, text, **request)[-1]
    assert isinstance(last, Done)
    return last


def only(kind: type[T], events: list[Event]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def shown(events: list[Event]) -> str:
    return "".join(delta.text for delta in only(TextDelta, events))
