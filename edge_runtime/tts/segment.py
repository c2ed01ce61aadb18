"""Cuts a streamed reply into stretches to speak, so that speech starts before its end is known."""

from __future__ import annotations

import re

MAX_SEGMENT = 240
"""Characters; a segment is cut here at the latest."""

_FIRST_HAN = 6
_FIRST_WORDS = 4
_LONG_HAN = 30
_LONG_WORDS = 20

_HAN = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_CLOSERS = "[\"'”’」』）)\\]]*"
# Western marks end something only before a space, or before a Chinese character: the points in
# 3.5, 9:00, 1,299 and in addresses stand before a letter or digit.
_AFTER = rf"(?=\s|[{_HAN}])"
_SENTENCE = re.compile(rf"[。！？…；]+{_CLOSERS}|[.!?;]+{_CLOSERS}{_AFTER}|\n+")
_CLAUSE = re.compile(rf"[，—]+|：(?!\d)|[,:]+{_AFTER}")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(（])(?:no|nr|núm|mr|mrs|ms|dr|st|vs|e\.g|i\.e|etc|approx|max|min|sr|sra|ud|uds|"
    r"p\. ?ej|p|ee|uu|a\.m|p\.m|a\. m|[a-z]|\d{1,2})\.$",
    re.IGNORECASE,
)
_WORD = re.compile(rf"[{_HAN}]|[^\W{_HAN}]+")
_HAN_CHAR = re.compile(f"[{_HAN}]")


class SpeechSegmenter:
    """Turns text deltas into segments to synthesise, in order. For one reply, for one thread.

    The first segment may end at a clause, so that the first sound comes early; later ones end with
    a sentence, or with a clause once they are long. Joined, the segments are the input, except for
    white space at their ends.
    """

    def __init__(self) -> None:
        self._buffer = ""
        self._first = True

    def feed(self, delta: str) -> list[str]:
        """Take the next piece of the reply; return the segments it completes."""
        self._buffer += delta
        segments = []
        start = 0
        while end := self._cut(start):
            segments.append(self._buffer[start:end].strip())
            start = end
            self._first = False
        self._buffer = self._buffer[start:]
        return segments

    def finish(self) -> list[str]:
        """The reply is over: what is left of it, at most one segment."""
        rest, self._buffer, self._first = self._buffer.strip(), "", True
        return [rest] if rest else []

    def _cut(self, start: int) -> int:
        """Where the segment that begins at ``start`` ends, 0 while that is not known."""
        limit = start + MAX_SEGMENT
        window = self._buffer[start : limit + 1]
        for match in _marks(window):
            head = window[: match.end()]
            if match.end() <= MAX_SEGMENT and self._is_end(head, match):
                return start + match.end()
        return start + _forced_cut(window) if len(window) > MAX_SEGMENT else 0

    def _is_end(self, head: str, match: re.Match[str]) -> bool:
        if match.re is _SENTENCE:
            return bool(_WORD.search(head)) and not _ABBREVIATION.search(head)
        han = len(_HAN_CHAR.findall(head))
        words = len(_WORD.findall(head)) - han
        if self._first:
            return han >= _FIRST_HAN or words >= _FIRST_WORDS
        return han >= _LONG_HAN or words >= _LONG_WORDS


def _marks(window: str) -> list[re.Match[str]]:
    found = [*_SENTENCE.finditer(window), *_CLAUSE.finditer(window)]
    return sorted(found, key=lambda match: match.start())


def _forced_cut(window: str) -> int:
    """The last clause, else the last space, else between two characters that are not one word."""
    clauses = [match.end() for match in _CLAUSE.finditer(window[:-1])]
    if clauses and clauses[-1] > MAX_SEGMENT // 3:
        return clauses[-1]
    space = window.rfind(" ", MAX_SEGMENT // 3, MAX_SEGMENT)
    if space > 0:
        return space
    for end in range(MAX_SEGMENT, MAX_SEGMENT // 3, -1):
        if not (window[end - 1].isascii() and window[end].isascii()):
            return end
    return MAX_SEGMENT
