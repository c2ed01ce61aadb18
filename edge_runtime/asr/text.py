"""What is done to recognised text before anyone sees it."""

from __future__ import annotations

import re
import unicodedata
import zlib
from functools import cache
from typing import TYPE_CHECKING

from edge_runtime.asr.itn import digits_read_out

if TYPE_CHECKING:
    from opencc import OpenCC

MAX_COMPRESSION = 2.4
"""Whisper's own threshold: text that deflates better than this is a loop."""
MIN_PHRASE = 4

_SAME_CHARACTER = re.compile(r"(\D)\1{5}")
_NOT_A_WORD = re.compile(r"[\W_]+")


def tidy(text: str, language: str) -> str:
    """Recognised text as the rest of the device wants it.

    One line without control characters, Chinese in simplified characters (OpenCC), numbers that
    were spelt out digit by digit as digits. Punctuation is kept.
    """
    printable = (" " if unicodedata.category(c) == "Cc" else c for c in text)
    text = " ".join("".join(printable).split())
    if language == "zh":
        text = _traditional_to_simplified().convert(text)
    return digits_read_out(text, language)


def is_repetitive(text: str) -> bool:
    """Whether a decoder seems to be stuck: the whole text is one phrase over and over, one
    character many times, or text that compresses too well.

    Phrases under ``MIN_PHRASE`` characters must come three times: people do say "no, no".
    """
    if _SAME_CHARACTER.search(text):
        return True
    data = text.encode()
    if data and len(data) / len(zlib.compress(data)) > MAX_COMPRESSION:
        return True
    letters = _NOT_A_WORD.sub("", text.lower())
    period = _period(letters)
    times = len(letters) / period if period else 1.0
    return times >= (2 if period >= MIN_PHRASE else 3)


def _period(text: str) -> int:
    """Length of the shortest phrase of which ``text`` is repetitions, the last maybe unfinished.

    The prefix function of Knuth, Morris and Pratt (1977) gives it in linear time.
    """
    borders = [0] * len(text)
    length = 0
    for position in range(1, len(text)):
        while length and text[position] != text[length]:
            length = borders[length - 1]
        length += text[position] == text[length]
        borders[position] = length
    return len(text) - borders[-1] if text else 0


@cache
def _traditional_to_simplified() -> OpenCC:
    from opencc import OpenCC

    return OpenCC("t2s")
