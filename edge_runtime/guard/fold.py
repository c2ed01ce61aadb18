"""Fold text to what a reader sees, character by character, keeping the way back.

Folding looks at one character at a time, so that a text folds the same however it is cut into
pieces. Undone are: compatibility forms and full width (NFKC), case, accents (but not ñ, a letter
of its own: año is no ano), Cyrillic and Greek look-alikes (after Unicode TS 39), traditional
Chinese (OpenCC) and digits or signs standing for Latin letters.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MASK = "＊"
MAX_GAP = 4
"""Most separators between two characters of one word; after more, a new word begins."""
BREAK = "\0"
"""Folded form of a gap that no word reaches across."""

_LOOKALIKES = str.maketrans(
    "асеорхукмтнвіѕјԁԛԝһ" + "αορνικτυχβγε" + "ıɡ",
    "aceopxykmthbisjdqwh" + "aopviktuxbye" + "ig",
)
_LEET = str.maketrans("013457@$!", "oieastasi")
_SOFT_SIGNS = frozenset("_-*.·~/|\\^#+=•‧・")
_SOFT_CATEGORIES = frozenset({"Cf", "Mn", "Me", "So", "Sk", "Sm", "Cn", "Co"})


@dataclass(frozen=True, slots=True)
class Folded:
    """``text[i]`` comes from the original character at ``origins[i]``."""

    text: str
    origins: tuple[int, ...]


def fold(text: str) -> Folded:
    """Fold ``text``; separators vanish, except that a long run of them becomes ``BREAK``."""
    characters: list[str] = []
    origins: list[int] = []
    gap = 0
    for index, original in enumerate(text):
        folded = fold_character(original)
        gap = 0 if folded else gap + 1
        if gap == MAX_GAP + 1:
            folded = BREAK
        for character in folded:
            characters.append(character)
            origins.append(index)
    return Folded("".join(characters), tuple(origins))


@lru_cache(maxsize=65536)
def fold_character(original: str) -> str:
    """The folded form of one character, empty for separators."""
    if original == MASK:
        return BREAK
    if original in "@$!":
        return original.translate(_LEET)
    folded = unicodedata.normalize("NFKC", original).casefold()
    folded = "".join(_plain_letter(character) for character in folded if character.isalnum())
    return folded.translate(_LOOKALIKES).translate(_LEET)


def _plain_letter(character: str) -> str:
    if character == "ñ" or character < "\x80":
        return character
    if "\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf":
        return str(_simplifier().convert(character))
    if character < "\u0530" or "\u1e00" <= character <= "\u1fff":
        return unicodedata.normalize("NFD", character)[0]
    return character


@lru_cache(maxsize=1)
def _simplifier() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")


def is_leet(original: str) -> bool:
    """Whether the character is a digit or sign that folds to a letter."""
    return unicodedata.normalize("NFKC", original) in "013457@$!"


def is_alphabetic(character: str) -> bool:
    """A letter of a script that writes words apart (not Chinese, Japanese, Thai)."""
    return character.isalpha() and (
        character < "\u0e00"
        or "\u1e00" <= character <= "\u1fff"
        or ("\uff21" <= character <= "\uff5a")
    )


@lru_cache(maxsize=4096)
def is_soft(separator: str) -> bool:
    """Signs that hide a word when put inside it, and that ordinary text does not put there."""
    return separator in _SOFT_SIGNS or unicodedata.category(separator) in _SOFT_CATEGORIES
