"""Chinese sentences with labelled names, and ordinary ones: nobody's data is in them."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate

import jieba  # type: ignore[import-untyped]

from converters.redaction.lists import loaded
from converters.redaction.products import Products
from converters.redaction.sentences import Labelled

_SLOT = re.compile(r"\{([nsptomb])\}")
_CLAUSE_END = re.compile(r"[，。！？、；：,.!?;:]")
_BETWEEN = ("", "", "", "", "的", "了", "，", "、", "和", "很", "是", "也")
_OFTEN, _LETTER_OFTEN = 150, 50_000
"""How often a word, or a single letter, stands in jieba's texts to be an everyday one."""


class ChineseSentences:
    """Draws sentences without end; the same generator state draws the same ones.

    Args:
        words: everyday words, strung together as what is no name, with how often to draw each.
    """

    def __init__(self, chance: random.Random, words: Mapping[str, float]) -> None:
        self._chance = chance
        self._products = Products(chance)
        self._words = list(words)
        self._often = list(accumulate(words.values()))
        told: dict[str, str] = loaded("chinese")
        self._surnames = "".join(told["surnames"].split())
        self._letters = "".join(told["letters"].split())
        self._common = told["common"]
        self._lists = {
            name: told[name].split()
            for name in ("compound", "nicks", "before", "after", "things", "places")
        }
        self._frames = {kind: told[kind].strip().split("\n") for kind in ("named", "ordinary")}

    def named(self) -> Labelled:
        """A sentence around names."""
        return self._filled(self._chance.choice(self._frames["named"]))

    def ordinary(self, given: Sequence[str]) -> Labelled:
        """Sentences in which nobody is named: made, strung together, or of ``given``."""
        pieces = [self._plain(given) for _ in range(self._chance.choice([1, 1, 1, 2, 3]))]
        return Labelled(self._chance.choice("，，。、！ ").join(pieces))

    def _plain(self, given: Sequence[str]) -> str:
        way = self._chance.random()
        if way < 0.25 or (way > 0.6 and not given):
            return self._filled(self._chance.choice(self._frames["ordinary"])).text
        if way < 0.6:
            return self._strung()
        return self._chance.choice(given)

    def _strung(self) -> str:
        """Everyday words at random, most with what joins words in between."""
        chance = self._chance
        words = chance.choices(self._words, cum_weights=self._often, k=chance.randint(1, 8))
        return "".join(word + chance.choice(_BETWEEN) for word in words)

    def strewn(self, text: str) -> Labelled:
        """An ordinary text with a name where a clause of it begins or ends."""
        places = [0, len(text), *(mark.end() for mark in _CLAUSE_END.finditer(text))]
        at = self._chance.choice(places)
        name = self._name()
        return Labelled(text[:at] + name + text[at:], ((at, at + len(name), "name"),))

    def _filled(self, frame: str) -> Labelled:
        pieces: list[str] = []
        spans: list[tuple[int, int, str]] = []
        length = at = 0
        for slot in _SLOT.finditer(frame):
            filler = self._filler(slot[1])
            start = length + slot.start() - at
            pieces += (frame[at : slot.start()], filler)
            length, at = start + len(filler), slot.end()
            if slot[1] in "ns":
                spans.append((start, length, "name"))
        return Labelled("".join((*pieces, frame[at:])), tuple(spans))

    def _filler(self, slot: str) -> str:
        if slot == "n":
            return self._name()
        if slot == "s":
            return self._surname()
        if slot == "m":
            return str(self._chance.randrange(1, 10 ** self._chance.randint(1, 5)))
        if slot == "b":
            brand = self._products.brand()
            return brand.lower() if self._chance.random() < 0.3 else brand
        if slot == "o":
            return str(self._chance.randrange(10**7, 10**12))
        return self._chance.choice(self._lists["things" if slot == "t" else "places"])

    def _surname(self) -> str:
        way = self._chance.random()
        if way < 0.04:
            return self._chance.choice(self._lists["compound"])
        return self._chance.choice(self._common if way < 0.7 else self._surnames)

    def _name(self) -> str:
        """A whole name, one with a title, or what friends say."""
        chance, way = self._chance, self._chance.random()
        if way < 0.06:
            return chance.choice(self._lists["nicks"])
        if way < 0.12:
            return chance.choice(self._lists["before"]) + self._surname()
        if way < 0.2:
            return self._surname() + chance.choice(self._lists["after"])
        given = "".join(chance.choices(self._letters, k=1 + (chance.random() < 0.72)))
        if chance.random() < 0.06:
            given = given[0] * 2
        return self._surname() + given


@cache
def chinese_words() -> dict[str, float]:
    """Common words of jieba's dictionary that name nobody, with how often to draw each.

    By the root of their counts, so that rarer words are met as well.
    """
    with jieba.get_dict_file() as file:
        entries = [line.decode("utf-8").split() for line in file]
    return {
        word: float(count) ** 0.5
        for word, count, kind in entries
        if int(count) >= (_OFTEN if len(word) > 1 else _LETTER_OFTEN)
        and len(word) <= 4
        and not kind.startswith(("nr", "nz"))
    }
