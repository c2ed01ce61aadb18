"""Quoting a passage: as it stands when short, else its most relevant stretch of sentences."""

from __future__ import annotations

import re

_SENTENCE = re.compile(r".+?(?:[。！？!?；;]+[”\"’')）]*|\.(?=\s|$)|\n+|$)", re.DOTALL)
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_CJK = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")

MAX_CJK_CHARS = 180
MAX_OTHER_CHARS = 420


def sentences(text: str) -> list[str]:
    """The sentences of ``text`` with their end marks, without surrounding white space."""
    return [found for match in _SENTENCE.finditer(text) if (found := match.group().strip())]


def quote(text: str, question: str) -> str:
    """What of ``text`` to say in answer to ``question``.

    Texts up to :data:`MAX_CJK_CHARS` (or :data:`MAX_OTHER_CHARS` in other scripts) characters are
    quoted whole. Of longer ones, the run of whole sentences within that length that shares most
    words with the question; a single longer sentence is quoted whole.
    """
    limit = MAX_CJK_CHARS if _CJK.search(text) else MAX_OTHER_CHARS
    if len(text) <= limit:
        return text.strip()
    parts = sentences(text)
    wanted = set(_WORD.findall(question.casefold()))
    overlap = [len(wanted & set(_WORD.findall(part.casefold()))) for part in parts]
    runs = [_run_from(start, parts, overlap, limit) for start in range(len(parts))]
    _, start, end = max(runs, key=lambda run: (run[0], -run[1]))
    joiner = "" if _CJK.search(text) else " "
    return joiner.join(parts[start:end])


def _run_from(start: int, parts: list[str], overlap: list[int], limit: int) -> tuple[int, int, int]:
    length, end, shared = len(parts[start]), start + 1, overlap[start]
    while end < len(parts) and length + len(parts[end]) + 1 <= limit:
        length += len(parts[end]) + 1
        shared += overlap[end]
        end += 1
    return shared, start, end
