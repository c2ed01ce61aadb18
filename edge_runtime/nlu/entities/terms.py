"""Products and categories by the names customers give them."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from typing import Final

from edge_runtime.nlu.entities.base import Context, entity
from edge_runtime.packs.schema import Term
from edge_runtime.turn import Entity

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SPACELESS: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_FUZZY_LETTERS: Final = 5
_FUZZY_SCORE: Final = 82.0


class TermMatcher:
    """Finds a pack's terms: longest first, whole words, plurals and small misspellings included.

    A misspelling is forgiven in words of at least five letters that begin with the right one.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms: dict[str, dict[str, Term]] = {}
        for term in terms:
            self._terms.setdefault(term.text.casefold(), {}).setdefault(term.language, term)
        ordered = sorted(filter(None, self._terms), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_written, ordered)), re.IGNORECASE)
        self._fuzzy: dict[int, list[str]] = {}
        for text in ordered:
            if not _SPACELESS.search(text) and len(text) >= _FUZZY_LETTERS:
                self._fuzzy.setdefault(len(text.split()), []).append(text)

    def __call__(self, text: str, context: Context) -> Iterator[Entity]:
        if not self._terms:
            return
        taken: list[tuple[int, int]] = []
        for match in self._pattern.finditer(text):
            said = _singular(match[0].casefold(), self._terms)
            term = self._meant(said, context.language)
            taken.append(match.span())
            yield entity(term.entity, term.value, text, *match.span())
        yield from self._misspelt(text, context.language, taken)

    def _meant(self, said: str, language: str) -> Term:
        """The term in the customer's language where several share a spelling: a Spanish "pan" is
        bread, an English one is for frying."""
        meanings = self._terms[said]
        return meanings.get(language) or next(iter(meanings.values()))

    def _misspelt(
        self, text: str, language: str, taken: Sequence[tuple[int, int]]
    ) -> Iterator[Entity]:
        from rapidfuzz import fuzz, process

        words = [
            match.span()
            for match in _WORD.finditer(text)
            if not any(a < match.end() and match.start() < b for a, b in taken)
        ]
        for size, texts in self._fuzzy.items():
            for first in range(len(words) - size + 1):
                start, end = words[first][0], words[first + size - 1][1]
                said = text[start:end].casefold()
                if len(said) < _FUZZY_LETTERS or end - start > 60:
                    continue
                # "weather" is not a misspelt "water": one letter more or less, not two.
                # Nor is "table" a misspelt "tablet": people do not leave off the last letter.
                likely = [
                    t
                    for t in texts
                    if t[0] == said[0] and abs(len(t) - len(said)) < 2 and not t.startswith(said)
                ]
                best = process.extractOne(
                    said, likely, scorer=fuzz.ratio, score_cutoff=_FUZZY_SCORE
                )
                if best is not None:
                    term = self._meant(best[0], language)
                    yield entity(term.entity, term.value, text, start, end)


def _written(term: str) -> str:
    if _SPACELESS.search(term):
        return re.escape(term)
    return rf"(?<!\w){re.escape(term)}(?:e?s)?(?!\w)"


def _singular(said: str, terms: Container[str]) -> str:
    for ending in ("", "s", "es"):
        if said.endswith(ending) and said.removesuffix(ending) in terms:
            return said.removesuffix(ending)
    return said
