"""Entities from tags on tokens (BIO: beginning, inside, outside), where the rules found none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from edge_runtime.nlu.base import Vectors
from edge_runtime.nlu.entities.base import entity
from edge_runtime.turn import Entity

RULED: Final = frozenset(
    {"email", "url", "phone", "money", "date", "time", "postcode", "order_id", "quantity"}
    | {"number", "yes_no"}
)
"""Types whose values have a form (a date, a decimal number) that only the rules can give them."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text, [start, end) in characters, and the type it was tagged with."""

    type: str
    start: int
    end: int


def spans(
    logits: Vectors, tags: Sequence[str], places: Sequence[tuple[int, int]]
) -> tuple[Span, ...]:
    """What the likeliest tags of the tokens mark.

    An inside without a beginning of its type begins one: half a tag says more than none.

    Args:
        logits: (n, m) for n tokens and m tags.
        tags: "O", "B-type" or "I-type" (m).
        places: which characters each token stands for (n); tokens that stand for none are skipped.
    """
    found: list[Span] = []
    open_type = ""
    for row, (start, end) in zip(logits, places, strict=True):
        if start >= end:
            continue
        mark, _, kind = tags[int(row.argmax())].partition("-")
        if mark == "O":
            open_type = ""
        elif mark == "I" and kind == open_type:
            found[-1] = Span(kind, found[-1].start, end)
        else:
            found.append(Span(kind, start, end))
            open_type = kind
    return tuple(found)


def merged(
    ruled: Sequence[Entity], tagged: Sequence[Span], text: str, places: Sequence[int]
) -> tuple[Entity, ...]:
    """The rules' entities, and the tagged stretches that overlap none of them.

    Args:
        ruled: what the rules found in ``text``.
        tagged: stretches of the text that the encoder saw.
        text: the normalised text.
        places: for each character the encoder saw, its position in ``text``, or -1.
    """
    kept = list(ruled)
    for found in _entities(tagged, text, places):
        if all(found.end <= other.start or other.end <= found.start for other in kept):
            kept.append(found)
    return tuple(sorted(kept, key=lambda item: item.start))


def _entities(tagged: Sequence[Span], text: str, places: Sequence[int]) -> Iterator[Entity]:
    for span in tagged:
        known = [place for place in places[span.start : span.end] if place >= 0]
        if known and span.type not in RULED:
            start, end = known[0], known[-1] + 1
            found = entity(span.type, "", text, start, end)
            if any(map(str.isalnum, found.text)):
                yield Entity(span.type, found.text, found.text, found.start, found.end)
