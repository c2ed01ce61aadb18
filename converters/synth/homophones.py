"""Words that Chinese speech recognition takes for one another: same sounds, or nearly.

Sounds come from pypinyin, how common a word is from jieba's dictionary; only common words are
heard, since recognisers prefer them too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final

from converters.synth.noise import Change
from converters.synth.pieces import Piece, Utterance

_COMMON_CHAR: Final = 8_000
_COMMON_WORD: Final = 300
_WORD_SHARE: Final = 0.6
_HAN_RUN: Final = re.compile(r"[\u4e00-\u9fff]+")
# Syllables that speakers of the south and hurried recognisers confuse.
_BLURRED: Final = (
    (re.compile(r"^zh"), "z"), (re.compile(r"^ch"), "c"), (re.compile(r"^sh"), "s"),
    (re.compile(r"^l"), "n"), (re.compile(r"ang$"), "an"), (re.compile(r"eng$"), "en"),
    (re.compile(r"ing$"), "in"),
)  # fmt: skip


def homophone() -> Change:
    """One word or character replaced by another that sounds alike."""

    def change(utterance: Utterance, rng: random.Random) -> Utterance | None:
        places = [
            (number, run)
            for number, piece in enumerate(utterance)
            if not piece.entity
            for run in _HAN_RUN.finditer(piece.text)
        ]
        rng.shuffle(places)
        for number, run in places:
            heard = _heard(run[0], rng)
            if heard is not None:
                piece = utterance[number]
                text = piece.text[: run.start()] + heard + piece.text[run.end() :]
                return (*utterance[:number], Piece(text), *utterance[number + 1 :])
        return None

    return change


def _heard(run: str, rng: random.Random) -> str | None:
    sizes = [2, 1] if rng.random() < _WORD_SHARE else [1, 2]
    for size in sizes:
        starts = list(range(len(run) - size + 1))
        rng.shuffle(starts)
        for start in starts:
            said = run[start : start + size]
            # A pair of characters that is no word would be heard as two.
            if size == 2 and said not in _frequency():
                continue
            others = [word for word in _alike().get(_sound(said), ()) if word != said]
            if others:
                return run[:start] + rng.choice(others) + run[start + size :]
    return None


@cache
def _frequency() -> dict[str, int]:
    """Common words of one and two characters, and how often jieba's corpus has them."""
    return dict(_dictionary())


def _dictionary() -> Iterator[tuple[str, int]]:
    with (files("jieba") / "dict.txt").open(encoding="utf-8") as file:
        for line in file:
            word, count, *_ = line.split(" ")
            limit = _COMMON_CHAR if len(word) == 1 else _COMMON_WORD
            if len(word) <= 2 and int(count) >= limit and _HAN_RUN.fullmatch(word):
                yield word, int(count)


@cache
def _alike() -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for word, count in sorted(_frequency().items(), key=lambda item: (-item[1], item[0])):
        groups.setdefault(_sound(word), []).append(word)
        del count
    return {sound: tuple(words[:6]) for sound, words in groups.items()}


@cache
def _sound(word: str) -> str:
    from pypinyin import lazy_pinyin

    return " ".join(_blurred(syllable) for syllable in lazy_pinyin(word))


def _blurred(syllable: str) -> str:
    for pattern, instead in _BLURRED:
        syllable = pattern.sub(instead, syllable)
    return syllable
