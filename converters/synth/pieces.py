"""An utterance in pieces, so that whatever rewords the text around an entity keeps its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_SPACE: Final = re.compile(r"\s+")
_BEFORE_MARK: Final = re.compile(r" +([,.;!?…])")
_SPANISH_MARK: Final = re.compile(r"([¿¡]) +")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; ``entity`` is its type, or empty between entities."""

    text: str
    entity: str = ""


Utterance = tuple[Piece, ...]
Span = tuple[int, int, str]
"""Start and end in characters, and the entity's type."""


def text_of(utterance: Utterance) -> str:
    """The whole text."""
    return "".join(piece.text for piece in utterance)


def spans_of(utterance: Utterance) -> list[Span]:
    """Where the entities stand in :func:`text_of`."""
    found: list[Span] = []
    start = 0
    for piece in utterance:
        if piece.entity:
            found.append((start, start + len(piece.text), piece.entity))
        start += len(piece.text)
    return found


def entities_of(utterance: Utterance) -> dict[str, list[str]]:
    """Type → values as they stand in the text, in order."""
    found: dict[str, list[str]] = {}
    for piece in utterance:
        if piece.entity:
            found.setdefault(piece.entity, []).append(piece.text)
    return found


def cut(text: str, spans: Iterable[Span]) -> Utterance:
    """``text`` in pieces; of spans that overlap the first given stands."""
    kept: list[Span] = []
    for start, end, kind in spans:
        if start < end and all(end <= a or start >= b for a, b, _ in kept):
            kept.append((start, end, kind))
    pieces: list[Piece] = []
    at = 0
    for start, end, kind in sorted(kept):
        pieces += [Piece(text[at:start]), Piece(text[start:end], kind)]
        at = end
    pieces.append(Piece(text[at:]))
    return tuple(piece for piece in pieces if piece.text)


def tidy(pieces: Sequence[Piece]) -> Utterance:
    """Neighbouring plain pieces joined, white space single, none at either end."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and not piece.entity and not joined[-1].entity:
            joined[-1] = Piece(joined[-1].text + piece.text)
        elif piece.text:
            joined.append(piece)
    out: list[Piece] = []
    for place, piece in enumerate(joined):
        if piece.entity:
            out.append(piece)
            continue
        text = _SPACE.sub(" ", piece.text)
        text = _SPANISH_MARK.sub(r"\1", _BEFORE_MARK.sub(r"\1", text))
        text = text.lstrip() if place == 0 else text
        text = text.rstrip(" ,，、") if place == len(joined) - 1 else text
        if text:
            out.append(Piece(text))
    return tuple(out)


def reworded(utterance: Utterance, change: Callable[[str], str]) -> Utterance:
    """``change`` done to everything between the entities."""
    return tidy([p if p.entity else Piece(change(p.text)) for p in utterance])
