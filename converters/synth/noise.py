"""Slips of the finger and of speech recognition, in the text between entities."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from converters.synth.phrases import Pairs, PhraseBook
from converters.synth.pieces import Utterance, reworded, text_of, tidy

Change = Callable[[Utterance, random.Random], Utterance | None]
"""A reworded utterance, or ``None`` where this change does not apply."""

_LETTER: Final = re.compile(r"[^\W\d_]")
_MIN_LETTERS: Final = 5
_CJK: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_ACCENT_SHARE: Final = 0.35
_UNACCENTED: Final = frozenset({"es", "fr", "it", "pt", "de"})


def typo(book: PhraseBook) -> Change:
    """One slip, two in long sentences: a neighbouring key, a letter too few, too many, swapped;
    accents or spaces left off where the language has them."""
    neighbours = _neighbours(book.keyboard)

    def change(utterance: Utterance, rng: random.Random) -> Utterance | None:
        text = text_of(utterance)
        if book.language in _UNACCENTED and rng.random() < _ACCENT_SHARE:
            bare = reworded(utterance, _without_accents)
            if text_of(bare) != text:
                return bare
        if book.language == "ko" and " " in text and rng.random() < 0.5:
            return reworded(utterance, lambda part: part.replace(" ", ""))
        slips = 1 if len(text) < 40 else 2
        for _ in range(slips):
            utterance = _slip(utterance, neighbours, rng)
        return utterance if text_of(utterance) != text else None

    return change


def replacement(pairs: Pairs, *, at_most: int = 2) -> Change:
    """Some of ``pairs``, what stands there replaced by what is said or heard instead."""
    patterns = [(_bounded(said), instead) for said, instead in pairs]

    def change(utterance: Utterance, rng: random.Random) -> Utterance | None:
        text = text_of(utterance)
        fitting = [pair for pair in patterns if pair[0].search(text)]
        rng.shuffle(fitting)
        done = 0
        for pattern, instead in fitting:
            swapped = reworded(utterance, _swap(pattern, instead))
            if text_of(swapped) != text_of(utterance):
                utterance, done = swapped, done + 1
            if done == at_most:
                break
        return utterance if done else None

    return change


def _swap(pattern: re.Pattern[str], instead: str) -> Callable[[str], str]:
    return lambda part: pattern.sub(lambda _: instead, part, count=1)


def _bounded(said: str) -> re.Pattern[str]:
    edge = "" if _CJK.search(said) else r"\b"
    return re.compile(rf"{edge}{re.escape(said)}{edge}", re.IGNORECASE)


def _slip(utterance: Utterance, neighbours: dict[str, str], rng: random.Random) -> Utterance:
    places = [
        (number, found.start())
        for number, piece in enumerate(utterance)
        if not piece.entity
        for found in _LETTER.finditer(piece.text)
        if not _CJK.match(found[0])
    ]
    if len(places) < _MIN_LETTERS:
        return utterance
    number, at = rng.choice(places)
    wrong = _mistyped(utterance[number].text, at, neighbours, rng)
    pieces = list(utterance)
    pieces[number] = type(pieces[number])(wrong)
    return tidy(pieces)


def _mistyped(text: str, at: int, neighbours: dict[str, str], rng: random.Random) -> str:
    letter, after = text[at], text[at + 1 : at + 2]
    kinds = ["drop", "double"]
    if letter.lower() in neighbours:
        kinds += ["neighbour", "neighbour"]
    if after.isalpha() and after != letter:
        kinds += ["swap", "swap"]
    kind = rng.choice(kinds)
    if kind == "swap":
        return text[:at] + after + letter + text[at + 2 :]
    instead = {"drop": "", "double": letter * 2}.get(kind)
    if instead is None:
        instead = rng.choice(neighbours[letter.lower()])
    return text[:at] + instead + text[at + 1 :]


def _neighbours(rows: Sequence[str]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for number, row in enumerate(rows):
        for place, letter in enumerate(row):
            around = [row[place - 1 : place], row[place + 1 : place + 2]]
            if number + 1 < len(rows):
                around.append(rows[number + 1][place : place + 1])
            for other in filter(None, around):
                found.setdefault(letter, set()).add(other)
                found.setdefault(other, set()).add(letter)
    return {letter: "".join(sorted(others)) for letter, others in found.items()}


def _without_accents(text: str) -> str:
    bare = "".join(
        char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char)
    )
    return bare.replace("ß", "ss").lstrip("¿¡")
