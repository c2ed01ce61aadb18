"""Phrases with choices, ``(where is|track) my (order|parcel)``, and gaps, ``{order_id}``.

``~`` makes the group or the character before it optional: ``(please)~ wait~``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SIGNS: Final = re.compile(r"[(|)~]|\{[a-z_]+\}|[^(|){}~]+|[{}]")
_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Gap:
    """A place to be filled."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences."""

    options: tuple[Sequence, ...]


Sequence = tuple["str | Gap | Choice", ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A parsed phrase; ``count`` is how many ways there are to say it, gaps unfilled."""

    source: str
    body: Sequence
    count: int
    gaps: frozenset[str]


def parse(source: str) -> Phrase:
    """Parse one phrase.

    Raises:
        ValueError: brackets do not match, or are nested deeper than 8.
    """
    signs = _SIGNS.findall(source)
    options, rest = _options(signs, 0, 0)
    if rest != len(signs):
        raise ValueError(f"')' without '(' in: {source}")
    body: Sequence = options[0] if len(options) == 1 else (Choice(options),)
    return Phrase(source, body, _count(body), frozenset(_gaps(body)))


def say(phrase: Phrase, rng: random.Random) -> list[str | Gap]:
    """One way of saying it, its gaps still open."""
    return list(_say(phrase.body, rng))


def _options(signs: list[str], at: int, depth: int) -> tuple[tuple[Sequence, ...], int]:
    if depth > _MAX_DEPTH:
        raise ValueError("brackets are nested too deep")
    options: list[Sequence] = []
    current: list[str | Gap | Choice] = []
    while at < len(signs) and signs[at] != ")":
        sign = signs[at]
        at += 1
        if sign == "|":
            options.append(tuple(current))
            current = []
        elif sign == "(":
            inner, at = _options(signs, at, depth + 1)
            if at >= len(signs):
                raise ValueError(f"'(' without ')' in: {''.join(signs)}")
            at += 1
            current.append(Choice(inner))
        elif sign.startswith("{") and sign.endswith("}") and len(sign) > 2:
            current.append(Gap(sign[1:-1]))
        elif sign == "~":
            current = _optional(current)
        elif sign in "{}":
            raise ValueError(f"a gap is written {{name}}: {''.join(signs)}")
        else:
            current.append(sign)
    options.append(tuple(current))
    return tuple(options), at


def _optional(current: list[str | Gap | Choice]) -> list[str | Gap | Choice]:
    if not current:
        raise ValueError("'~' stands behind what it makes optional")
    last = current[-1]
    if isinstance(last, str) and len(last) > 1:
        return [*current[:-1], last[:-1], Choice(((last[-1],), ()))]
    return [*current[:-1], Choice(((last,), ()))]


def _count(body: Sequence) -> int:
    total = 1
    for part in body:
        if isinstance(part, Choice):
            total *= sum(map(_count, part.options))
    return total


def _gaps(body: Sequence) -> Iterator[str]:
    for part in body:
        if isinstance(part, Gap):
            yield part.name
        elif isinstance(part, Choice):
            for option in part.options:
                yield from _gaps(option)


def _say(body: Sequence, rng: random.Random) -> Iterator[str | Gap]:
    for part in body:
        if isinstance(part, Choice):
            weights = [_count(option) for option in part.options]
            yield from _say(rng.choices(part.options, weights)[0], rng)
        else:
            yield part
