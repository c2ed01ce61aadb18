"""Replies made of what a passage says, with the manners of a shop assistant around it.

What a reply states stands in its passage, word for word: nothing is promised that the passage
does not support.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

from converters.synth.asking import Asked
from converters.synth.grammar import Gap, say
from converters.synth.phrases import PhraseBook
from edge_runtime.generation.quote import quote, sentences
from edge_runtime.turn import Passage

_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_MAX_UNSPACED: Final = 110
_MAX_SPACED: Final = 330
_ENDED: Final = re.compile(r"[.!?。！？)”\"]$")
_BARE: Final = 12
_PLAIN_SHARE: Final = 0.25
_LONE_SHARE: Final = 0.5
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]{3,}")
_CALM: Final = frozenset({"answer", "decline"})
_MOODS: Final = {"negative": "upset", "positive": "glad", "neutral": "answer"}


class Replies:
    """Replies in one language.

    Args:
        book: its ``replies`` are the phrases around what a passage says.
        seed: of the run and the part of the data.
    """

    def __init__(self, book: PhraseBook, seed: str) -> None:
        self._book = book
        self._rng = random.Random(f"{seed}:{book.language}:replying")
        self._refusals = _beginnings(book, "declines")
        self._dangling = _beginnings(book, "dangling")

    def to(self, asked: Asked, *, brief: bool = False) -> str:
        """A reply to the question out of its passage; that nothing is known where there is none.

        ``brief`` keeps to the passage's first sentence.
        """
        if asked.answer is None:
            return self._phrase("unknown", "")
        said = self._facts(asked.answer, asked.question, brief)
        if self.refuses(said):
            name = "firm" if asked.kind == "insistence" else "decline"
        else:
            name = _MOODS[asked.mood]
        if name in _CALM and self._rng.random() < _PLAIN_SHARE:
            return said
        return self._phrase(name if name in self._book.replies else "answer", said)

    def refuses(self, text: str) -> bool:
        """Whether ``text`` begins by saying no."""
        return text.startswith(self._refusals)

    def _phrase(self, name: str, said: str) -> str:
        phrase = self._rng.choice(self._book.replies[name])
        parts = say(phrase, self._rng)
        return "".join(said if isinstance(part, Gap) else part for part in parts).strip()

    def _facts(self, passage: Passage, question: str, brief: bool) -> str:
        """One or two sentences of the passage: the first, and the one that fits best."""
        parts = _sentences(passage, question)
        if brief:
            return parts[0]
        joiner = "" if _UNSPACED.search(passage.text) else " "
        whole = joiner.join(parts)
        limit = _MAX_SPACED if joiner else _MAX_UNSPACED
        # Half of what a product is, or of how to unplug it, is no answer.
        if passage.kind == "repair" or (passage.kind == "product" and not passage.questions):
            return whole
        best = self._best(parts, question)
        alone = best and not parts[best].startswith(self._dangling) and len(parts[best]) > _BARE
        if alone and self._rng.random() < _LONE_SHARE:
            return parts[best]
        if len(parts) <= 2 and len(whole) <= limit:
            return whole
        # What stands between may limit what the later sentence grants.
        upto = joiner.join(parts[: max(2, best + 1)])
        return upto if len(upto) <= limit * 1.4 else joiner.join(parts[:2])

    def _best(self, parts: Sequence[str], question: str) -> int:
        """The sentence that shares most with the question; the first where none stands out."""
        wanted = _words(question)
        shared = [len(wanted & _words(part)) for part in parts]
        best = max(range(len(parts)), key=lambda place: (shared[place], -place))
        return best if shared[best] >= shared[0] + 2 else 0


def _beginnings(book: PhraseBook, name: str) -> tuple[str, ...]:
    return tuple(phrase.source for phrase in book.replies.get(name, ()))


def _sentences(passage: Passage, question: str) -> list[str]:
    # What the prompt shows of the passage: a reply cannot know more.
    parts: list[str] = []
    for part in sentences(quote(passage.text, question)):
        if parts and parts[-1].endswith((";", "；")):
            parts[-1] += part if parts[-1].endswith("；") else f" {part}"
        else:
            parts.append(part)
    if passage.kind == "product":
        # A product's figures stand at the end, without a verb.
        parts = [part for part in parts if _ENDED.search(part)] or parts
        if _UNSPACED.search(passage.text):
            parts[0] = parts[0].replace(f"{passage.title}: ", f"{passage.title}：", 1)
    return parts


def _words(text: str) -> frozenset[str]:
    return frozenset(word[:5] for word in _WORD.findall(text.casefold()))
