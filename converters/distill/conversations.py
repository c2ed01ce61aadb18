"""Conversations as JSON Lines of ``{"messages": [{"role", "content"}, …]}``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypedDict

from converters.errors import DatasetError
from converters.jsonlines import json_lines

_MAX_MESSAGES: Final = 100
_ROLES: Final = frozenset({"system", "user", "assistant"})
_SHAPE: Final = (
    'Each line looks like {"messages": [{"role": "user", "content": "…"}, '
    '{"role": "assistant", "content": "…"}]}.'
)


class Message(TypedDict):
    """One turn."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """One line; ``line`` is 1-based, ``reply`` empty where the data has none."""

    line: int
    prompt: tuple[Message, ...]
    reply: str


def read_conversations(path: Path) -> tuple[Conversation, ...]:
    """Read conversations; the last turn, where it is the assistant's, is the reply.

    Raises:
        DatasetError: the file is missing or empty, or a line is wrong; names file and line.
    """
    found = tuple(_conversations(path))
    if not found:
        raise DatasetError("The file holds no lines.", file=path, hint=_SHAPE)
    return found


def _conversations(path: Path) -> Iterator[Conversation]:
    for number, value in json_lines(path):
        yield _conversation(value, path, number)


def _conversation(value: Any, path: Path, number: int) -> Conversation:
    turns = read_prompt(value, path, number)
    if turns[-1]["role"] == "assistant":
        prompt, reply = turns[:-1], turns[-1]["content"]
    else:
        prompt, reply = turns, ""
    if not any(turn["role"] == "user" for turn in prompt):
        raise DatasetError("Nobody asks anything.", file=path, line=number, hint=_SHAPE)
    return Conversation(number, prompt, reply)


def read_prompt(value: Any, path: Path, number: int) -> tuple[Message, ...]:
    """The ``messages`` of a line's value.

    Raises:
        DatasetError: there are none, or one is wrong; names file and line.
    """
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list) or not 0 < len(messages) <= _MAX_MESSAGES:
        raise DatasetError("The line has no 'messages'.", file=path, line=number, hint=_SHAPE)
    return tuple(_message(item, path, number) for item in messages)


def _message(item: Any, path: Path, number: int) -> Message:
    if isinstance(item, dict):
        role, content = item.get("role"), item.get("content")
        if role in _ROLES and isinstance(content, str) and content.strip():
            return Message(role=role, content=content)
    raise DatasetError(
        "A message has no 'content' or no proper 'role'.", file=path, line=number, hint=_SHAPE
    )
