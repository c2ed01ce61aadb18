"""The text put before an utterance so that Whisper writes in the wanted script and spelling.

Whisper continues in the style of what it believes came before: a prompt in simplified characters
gives simplified output, and words that stand in it are more likely to be heard and spelt so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

OPENINGS = {"zh": "以下是普通话的句子。"}
"""By language; the others are written well without."""

MAX_CHARS = {"zh": 60, "ja": 60}
MAX_CHARS_ELSEWHERE = 200
"""Longer prompts cost time, and drown the sound in what was expected."""

_HAN = re.compile(r"[\u3400-\u9fff]")


def initial_prompt(language: str, hints: Sequence[str]) -> str:
    """The opening for ``language`` and those hints in its script that fit, in their order."""
    han = language in {"zh", "ja"}
    separator = "、" if han else ", "
    room = MAX_CHARS.get(language, MAX_CHARS_ELSEWHERE)
    fitting: list[str] = []
    for hint in dict.fromkeys(hints):
        if bool(_HAN.search(hint)) == han and len(hint) + len(separator) <= room:
            fitting.append(hint)
            room -= len(hint) + len(separator)
    words = separator.join(fitting) + ("。" if han else ".") if fitting else ""
    return f"{OPENINGS.get(language, '')}{words}"


def is_echo(text: str, language: str) -> bool:
    """Whether ``text`` is the opening itself, which Whisper repeats when nobody speaks."""
    opening = OPENINGS.get(language, "")
    return bool(opening) and text.startswith(opening[:5])
