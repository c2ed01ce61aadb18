"""Find listed words in streamed text, however they are disguised, before they are released.

Aho-Corasick (Aho and Corasick, 1975) runs over the folded text (:mod:`.fold`). Only the tail that
may still grow into a listed word is held back, so text streams on at once otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from edge_runtime.guard.fold import (
    BREAK,
    MASK,
    Folded,
    fold,
    fold_character,
    is_alphabetic,
    is_leet,
    is_soft,
)

Action = Literal["mask", "replace", "block", "allow"]

_LEET_MIN_LENGTH = 4
_LEET_SHARE = 1 / 3
_CONTEXT = 8


@dataclass(frozen=True, slots=True)
class Pattern:
    """A word or phrase and what to do about it; ``label`` is reported when it is met.

    "allow" marks longer words in which other patterns are harmless.
    """

    text: str
    label: str
    action: Action
    replacement: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """``pattern`` stands at [start, end) of the original text."""

    start: int
    end: int
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class _Entry:
    pattern: Pattern
    length: int
    alphabetic: bool
    starts_word: bool
    spaces: frozenset[int]
    """Folded offsets before which the pattern itself has a space."""


class Matcher:
    """Finds patterns; immutable once built, shared by all streams."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        import ahocorasick  # type: ignore[import-not-found]

        entries: dict[str, list[_Entry]] = {}
        for pattern in patterns:
            key = fold(pattern.text).text
            if key and BREAK not in key:
                entries.setdefault(key, []).append(_entry(pattern, key))
        self._automaton: Any = ahocorasick.Automaton()
        for key, same in entries.items():
            self._automaton.add_word(key, tuple(same))
        self._automaton.make_automaton()
        self._empty = not entries
        self.longest = max(map(len, entries), default=0)

    def find(self, text: str, *, before: str = "") -> list[Match]:
        """Everything listed in ``text``, "allow" included, by start and longest first.

        Args:
            text: what to search.
            before: what stood directly before it, for word boundaries.
        """
        if self._empty:
            return []
        return sorted(
            self._candidates(text, fold(text), before),
            key=lambda match: (match.start, -match.end, match.pattern.label),
        )

    def pending(self, text: str, *, before: str = "") -> int:
        """Where the longest tail of ``text`` starts that may still grow into a pattern."""
        if self._empty:
            return len(text)
        folded = fold(text)
        size = len(folded.text)
        for start in range(max(0, size - self.longest), size):
            origin = folded.origins[start]
            inside_word = is_alphabetic(folded.text[start]) and _letter_ends(before + text[:origin])
            if not inside_word and self._automaton.match(folded.text[start:]):
                return origin
        return len(text)

    def _candidates(self, text: str, folded: Folded, before: str) -> Iterator[Match]:
        for last, entries in self._automaton.iter(folded.text):
            for entry in entries:
                origins = folded.origins[last - entry.length + 1 : last + 1]
                if _holds(entry, text, origins, before):
                    yield Match(origins[0], origins[-1] + 1, entry.pattern)


def harmful(matches: Sequence[Match], allowed: Sequence[Match] = ()) -> list[Match]:
    """``matches`` without the "allow" ones and those inside one of them or of ``allowed``."""
    allowed = [*allowed, *(match for match in matches if match.pattern.action == "allow")]
    return [
        match
        for match in matches
        if match.pattern.action != "allow"
        and not any(a.start <= match.start and match.end <= a.end for a in allowed)
    ]


class MatchStream:
    """One reply passing through a :class:`Matcher`.

    What is released does not depend on how the text is cut into deltas. Held back is at most the
    longest pattern with ``MAX_GAP`` separators after each character.
    """

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._buffer = ""
        self._output: list[str | None] = []
        self._before = ""
        self._allowed: list[Match] = []
        self._fired: dict[str, None] = {}
        self.stopped = False

    @property
    def fired(self) -> tuple[str, ...]:
        """Labels met so far, in order."""
        return tuple(self._fired)

    def feed(self, delta: str) -> str:
        """Take more text and return what may be released now."""
        if self.stopped:
            return ""
        self._buffer += delta
        self._output.extend([None] * len(delta))
        return self._release(self._matcher.pending(self._buffer, before=self._before))

    def finish(self) -> str:
        """The text is complete: return the rest."""
        return "" if self.stopped else self._release(len(self._buffer))

    def _release(self, end: int) -> str:
        found = self._matcher.find(self._buffer, before=self._before)
        for match in harmful(found, self._allowed):
            if match.start >= end:
                break
            if match.pattern.action == "block":
                self._fired[match.pattern.label] = None
                self.stopped = True
                end = match.start
                break
            self._apply(match)
        released = "".join(
            original if output is None else output
            for original, output in zip(self._buffer[:end], self._output[:end], strict=True)
        )
        self._allowed = [
            Match(match.start - end, match.end - end, match.pattern)
            for match in (*self._allowed, *found)
            if match.pattern.action == "allow" and match.start < end < match.end
        ]
        self._before = (self._before + self._buffer[:end])[-_CONTEXT:]
        self._buffer = self._buffer[end:]
        self._output = self._output[end:]
        return released

    def _apply(self, match: Match) -> None:
        # An earlier or longer match may cover the start: its output stands.
        if self._output[match.start] is not None and match.pattern.action == "replace":
            return
        self._fired[match.pattern.label] = None
        for index in range(match.start, match.end):
            if self._output[index] is None:
                hidden = MASK if fold_character(self._buffer[index]) else ""
                self._output[index] = hidden if match.pattern.action == "mask" else ""
        if match.pattern.action == "replace":
            self._output[match.start] = match.pattern.replacement


def _entry(pattern: Pattern, key: str) -> _Entry:
    spaces: set[int] = set()
    offset = 0
    for character in pattern.text:
        if character.isspace():
            spaces.add(offset)
        offset += len(fold_character(character))
    alphabetic = all(is_alphabetic(character) or character.isdigit() for character in key)
    return _Entry(pattern, len(key), alphabetic, is_alphabetic(key[0]), frozenset(spaces))


def _holds(entry: _Entry, text: str, origins: Sequence[int], before: str) -> bool:
    start, end = origins[0], origins[-1] + 1
    gaps = [text[left + 1 : right] for left, right in pairwise(origins)]
    spaced_out = len(gaps) > 1 and all(gaps)
    if not spaced_out and any(
        gap and offset not in entry.spaces and not _is_glue(gap, entry.alphabetic)
        for offset, gap in enumerate(gaps, start=1)
    ):
        return False
    lead = (before + text[:start])[-_CONTEXT:]
    if entry.starts_word and _letter_ends(lead):
        return False
    leet = sum(is_leet(text[index]) for index in origins)
    if leet and (entry.length < _LEET_MIN_LENGTH or leet / entry.length > _LEET_SHARE):
        return False
    if not entry.alphabetic:
        return True
    if is_alphabetic(text[end : end + 1] or " "):
        return False
    return not (spaced_out and _ends_in_lone_letter(lead))


def _letter_ends(text: str) -> bool:
    return is_alphabetic(text[-1:] or " ")


def _is_glue(gap: str, alphabetic: bool) -> bool:
    return all(is_soft(sign) or (not alphabetic and sign in " \u3000\t") for sign in gap)


def _ends_in_lone_letter(lead: str) -> bool:
    """Whether the letters before are set apart too: "c l a s s" is no "a s s"."""
    letters = lead.rstrip()
    return letters != lead and _letter_ends(letters) and not _letter_ends(letters[:-1])
