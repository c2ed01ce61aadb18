"""Rated replies as pairs of a better and a worse one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from converters.distill.conversations import Message, read_prompt
from converters.errors import DatasetError
from converters.jsonlines import json_lines

_MAX_RATING: Final = 1e9
_SHAPE: Final = (
    'Each line looks like {"messages": […], "chosen": "…", "rejected": "…"} or '
    '{"messages": […], "reply": "…", "rating": 4}.'
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two replies to the same prompt, the better one first."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class _Rated:
    reply: str
    rating: float


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """Pairs as they stand, and of replies rated on their own the best against each worse one to
    the same prompt; equal ratings make no pair.

    Raises:
        DatasetError: the file is missing, a line is wrong, or no two replies differ in rating.
    """
    pairs: list[Pair] = []
    rated: dict[str, tuple[tuple[Message, ...], list[_Rated]]] = {}
    for number, value in json_lines(path):
        prompt = read_prompt(value, path, number)
        if "rating" in value:
            reply, rating = _text(value, "reply", path, number), value["rating"]
            if isinstance(rating, bool) or not isinstance(rating, int | float):
                raise DatasetError("'rating' is no number.", file=path, line=number, hint=_SHAPE)
            if not abs(rating) <= _MAX_RATING:
                raise DatasetError("'rating' is out of bounds.", file=path, line=number)
            entry = rated.setdefault(json.dumps(prompt), (prompt, []))
            entry[1].append(_Rated(reply, float(rating)))
        else:
            chosen = _text(value, "chosen", path, number)
            rejected = _text(value, "rejected", path, number)
            if chosen != rejected:
                pairs.append(Pair(prompt, chosen, rejected))
    pairs += [pair for prompt, replies in rated.values() for pair in _ranked(prompt, replies)]
    if not pairs:
        raise DatasetError(
            "No two replies to one prompt were rated differently.", file=path, hint=_SHAPE
        )
    return tuple(pairs)


def _ranked(prompt: tuple[Message, ...], replies: Sequence[_Rated]) -> Iterator[Pair]:
    best = max(replies, key=lambda one: one.rating)
    for worse in replies:
        if worse.rating < best.rating and worse.reply != best.reply:
            yield Pair(prompt, best.reply, worse.reply)


def _text(value: dict[str, Any], key: str, path: Path, number: int) -> str:
    found = value.get(key)
    if not isinstance(found, str) or not found.strip():
        raise DatasetError(f"The line has no '{key}'.", file=path, line=number, hint=_SHAPE)
    return found
