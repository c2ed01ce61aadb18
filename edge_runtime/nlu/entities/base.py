"""What the entity rules share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from edge_runtime.turn import Entity


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may know besides the text: its language and the day it was said."""

    language: str
    today: date


class Rule(Protocol):
    """Finds entities of one kind in normalised text; spans may overlap those of other rules."""

    def __call__(self, text: str, context: Context) -> Iterator[Entity]: ...


def entity(kind: str, value: str, text: str, start: int, end: int) -> Entity:
    """The entity at [start, end) of ``text``, without the white space around it."""
    raw = text[start:end]
    start += len(raw) - len(raw.lstrip())
    end -= len(raw) - len(raw.rstrip())
    return Entity(kind, value, text[start:end], start, end)
