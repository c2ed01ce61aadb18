"""Sentences with labelled names and addresses, made from lists: nobody's data is in them."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from converters.redaction.lists import Addresses, People, loaded
from converters.redaction.products import Products
from converters.redaction.words import everyday_words

_SLOT = re.compile(r"\{([ngsazpoldjmtbv])\}")
_LABEL = {"n": "name", "g": "name", "s": "name", "a": "address", "z": "address"}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and its (start, end, label) stretches, in order."""

    text: str
    spans: tuple[tuple[int, int, str], ...] = ()


class Sentences:
    """Draws sentences without end; the same seed draws the same ones."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._people = People(self._chance)
        self._products = Products(self._chance)
        told = loaded("sentences")
        self._frames = {
            kind: [line.replace("\\n", "\n") for line in told[kind].strip().split("\n")]
            for kind in ("around_names", "around_addresses", "ordinary", "reviews")
        }
        self._words = {language: words.split() for language, words in told["words"].items()}
        self._fillers = {
            "t": _listed(told["things"]), "o": _listed(told["firms"]), "p": _listed(told["places"]),
            "l": _listed(told["languages"]), "d": _listed(told["days"]), "j": _listed(told["jobs"]),
            "m": _listed(told["amounts"]),
        }  # fmt: skip
        self._addresses = Addresses(self._chance, self._people, self._fillers["p"])

    def draw(self, kind: str) -> Labelled:
        """One sentence around names, around addresses, or an ordinary one."""
        frame = self._chance.choice(self._frames[kind])
        if self._chance.random() < 0.12:
            frame = f"{frame} {self._chance.choice(self._frames['ordinary'])}"
        if self._chance.random() < 0.06:
            frame = f"{self._chance.choice(self._frames['reviews'])} {frame}"
        pieces: list[str] = []
        spans: list[tuple[int, int, str]] = []
        length = at = 0
        for slot in _SLOT.finditer(frame):
            filler = self._filler(slot[1])
            before = frame[at : slot.start()]
            start = length + len(before)
            length, at = start + len(filler), slot.end()
            pieces += (before, filler)
            if label := _LABEL.get(slot[1]):
                spans.append((start, length, label))
        text = "".join((*pieces, frame[at:]))
        return spelled(Labelled(text, tuple(spans)), self._chance)

    def strewn(self, text: str) -> Labelled:
        """An ordinary text with a name, or what only looks like one, somewhere in it.

        Where a name stands anywhere, what it looks like must tell, not the words around it.
        """
        words = text.split()
        at = self._chance.randrange(len(words) + 1)
        slot = self._chance.choice("nggssspptodm")
        filler = self._filler(slot)
        before = " ".join(words[:at])
        start = len(before) + bool(before)
        pieces = [piece for piece in (before, filler, " ".join(words[at:])) if piece]
        label = _LABEL.get(slot)
        spans = ((start, start + len(filler), label),) if label else ()
        return spelled(Labelled(" ".join(pieces), spans), self._chance)

    def strung(self) -> Labelled:
        """Everyday words of one language at random."""
        chance = self._chance
        language = chance.choice(["en", "en", "en", "es", "es", "fr", "de", "it", "pt"])
        often = chance.random() < 0.5
        words = self._words[language] if often else everyday_words(language)
        text = " ".join(chance.choices(words, k=chance.randrange(1, 9)))
        written = chance.choice([text, text, text, text.capitalize(), text.title()])
        return Labelled(stressed(written, chance) + chance.choice(["", "", ".", "!", "?"]))

    def _filler(self, slot: str) -> str:
        if slot in self._fillers:
            return self._chance.choice(self._fillers[slot])
        if slot == "b":
            return self._products.brand()
        if slot == "v":
            return self._addresses.town()
        if slot == "z":
            return self._addresses.code()
        return self._addresses.whole() if slot == "a" else self._people.name(slot)


def prose(texts: Sequence[str], chance: random.Random) -> str:
    """One of the texts, or two as sentences of one paragraph, some words of it stressed."""
    text = chance.choice(texts)
    if chance.random() < 0.3:
        two = (text, chance.choice(texts))
        text = " ".join(
            one[:1].upper() + one[1:] + ("" if one[-1:] in ".?!" else chance.choice("..!?"))
            for one in two
        )
    way = chance.random()
    if way < 0.15:
        return mistyped(text, chance)
    return stressed(text, chance) if way < 0.33 else text


def mistyped(text: str, chance: random.Random) -> str:
    """The text with a letter of one or two of its words lost, doubled or changed round."""
    words = text.split(" ")
    for at in chance.sample(range(len(words)), min(len(words), chance.randint(1, 2))):
        word = words[at]
        if len(word) < 3 or not word.isalpha():
            continue
        letter, way = chance.randrange(1, len(word)), chance.random()
        middle = (
            "" if way < 0.5 else word[letter] * 2 if way < 0.7 else word[letter] + word[letter - 1]
        )
        kept = letter - 1 if way >= 0.7 else letter
        words[at] = word[:kept] + middle + word[letter + 1 :]
    return " ".join(words)


def stressed(text: str, chance: random.Random) -> str:
    """The text with a few of its words in capitals or beginning with one."""
    words = [
        (word.upper() if chance.random() < 0.4 else word[:1].upper() + word[1:])
        if chance.random() < 0.12 else word
        for word in text.split(" ")
    ]  # fmt: skip
    return " ".join(words)


def hidden(sentence: Labelled, chance: random.Random) -> Labelled:
    """The sentence with some of its stretches masked already, as a second reading finds them."""
    pieces: list[str] = []
    spans: list[tuple[int, int, str]] = []
    length = at = 0
    for start, end, label in sentence.spans:
        masked = chance.random() < 0.5
        mask = f"[{label.upper()[:7]}:{chance.randrange(16**8):08x}]"
        shown = mask if masked else sentence.text[start:end]
        before = sentence.text[at:start]
        begin = length + len(before)
        length, at = begin + len(shown), end
        pieces += (before, shown)
        if not masked:
            spans.append((begin, length, label))
    return Labelled("".join((*pieces, sentence.text[at:])), tuple(spans))


def spelled(sentence: Labelled, chance: random.Random) -> Labelled:
    """As typed or heard: small letters, capitals, or letters without their marks (as long)."""
    way = chance.random()
    if way < 0.2:
        return _recased(sentence, sentence.text.lower())
    if way < 0.23:
        return _recased(sentence, sentence.text.upper())
    if way < 0.33:
        return _recased(sentence, "".join(_bare(char) for char in sentence.text))
    if way < 0.36:
        return _recased(sentence, sentence.text.title())
    return sentence


def _recased(sentence: Labelled, text: str) -> Labelled:
    return Labelled(text, sentence.spans) if len(text) == len(sentence.text) else sentence


def _bare(char: str) -> str:
    return unicodedata.normalize("NFD", char)[0]


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.replace("\n", "").split("|") if item.strip()]
