"""What people and recognisers make of a sentence, by kind of change."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from converters.synth.dialects import any_of, colloquial
from converters.synth.grammar import Gap, say
from converters.synth.homophones import homophone
from converters.synth.noise import Change, replacement, typo
from converters.synth.phrases import PhraseBook, Phrases
from converters.synth.pieces import Piece, Utterance, text_of, tidy
from edge_runtime.packs import Pack
from edge_runtime.turn import Sentiment

EMOTIONS: Final[Mapping[str, Sentiment]] = {"negative": "negative", "positive": "positive"}
"""Kinds of change after which a customer sounds otherwise, and how."""

_MAX_WRAPPED: Final = 160


def changes_of(pack: Pack, book: PhraseBook) -> dict[str, Change]:
    """The changes that make sense in the book's language, by kind: ``negative``, ``positive``,
    ``polite``, ``typo``, ``homophone``, ``dialect``, ``code_switch``."""
    changes: dict[str, Change] = {}
    for kind in (*EMOTIONS, "polite"):
        if kind in book.emotions:
            changes[kind] = _around(book.emotions[kind])
    if book.keyboard or book.language == "ko":
        changes["typo"] = typo(book)
    if book.language == "zh":
        changes["homophone"] = homophone()
    elif book.asr:
        changes["homophone"] = replacement(book.asr, at_most=1)
    spoken = colloquial(pack, book.language)
    if spoken:
        changes["dialect"] = any_of(spoken)
    if book.switch:
        changes["code_switch"] = replacement(book.switch)
    return changes


def unmarked(utterance: Utterance) -> Utterance:
    """Without its end mark, as many people type."""
    if not utterance or utterance[-1].entity:
        return utterance
    bare = (*utterance[:-1], Piece(utterance[-1].text.rstrip(" ?.!？。！؟")))
    if not bare[0].entity:
        bare = (Piece(bare[0].text.lstrip("¿¡")), *bare[1:])
    return tidy(bare)


def _around(phrases: Phrases) -> Change:
    """Something said before or after: phrases with the gap ``{text}``."""

    def change(utterance: Utterance, rng: random.Random) -> Utterance | None:
        if len(text_of(utterance)) > _MAX_WRAPPED:
            return None
        parts = say(rng.choice(phrases), rng)
        inner = utterance if isinstance(parts[-1], Gap) else unmarked(utterance)
        pieces: list[Piece] = []
        for part in parts:
            pieces += inner if isinstance(part, Gap) else [Piece(part)]
        return tidy(pieces)

    return change
