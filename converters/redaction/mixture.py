"""What the reader learns from: made sentences and ordinary utterances, of all its languages."""

from __future__ import annotations

import random
from collections.abc import Iterator

from converters.redaction.chinese import ChineseSentences, chinese_words
from converters.redaction.sentences import Labelled, Sentences, hidden, prose, spelled
from edge_runtime.journal.han import is_han

_CHINESE = 0.22
_ALPHABETS = {
    "around_names": 24, "around_addresses": 18, "ordinary": 7, "reviews": 6, "strung": 8,
    "strewn": 15, "given": 22,
}  # fmt: skip
"""Of sentences in alphabets: how many of a hundred are of each kind."""


def endless(seed: int, ordinary: list[str]) -> Iterator[Labelled]:
    """A mixture: sentences around names and addresses, ordinary ones made and given."""
    chance, made = random.Random(seed), Sentences(seed)
    chinese = ChineseSentences(chance, chinese_words())
    in_chinese = [text for text in ordinary if any(is_han(char) for char in text)]
    others = [text for text in ordinary if not any(is_han(char) for char in text)]
    while True:
        if chance.random() < _CHINESE or not others:
            sentence = _chinese(chance, chinese, in_chinese)
        else:
            sentence = _of_alphabets(chance, made, others)
        yield hidden(sentence, chance) if chance.random() < 0.06 else sentence


def _chinese(chance: random.Random, made: ChineseSentences, ordinary: list[str]) -> Labelled:
    way = chance.random()
    if way < 0.4:
        return made.named()
    if way < 0.5:
        return made.strewn(made.ordinary(ordinary).text)
    return made.ordinary(ordinary)


def _of_alphabets(chance: random.Random, made: Sentences, ordinary: list[str]) -> Labelled:
    (kind,) = chance.choices(list(_ALPHABETS), list(_ALPHABETS.values()))
    if kind == "strung":
        return made.strung()
    if kind == "strewn":
        return made.strewn(prose(ordinary, chance))
    if kind == "given":
        return spelled(Labelled(prose(ordinary, chance)), chance)
    return made.draw(kind)
