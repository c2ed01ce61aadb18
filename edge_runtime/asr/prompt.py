"""The text put before an utterance so that Whisper writes in the wanted script and spelling.

Whisper continues in the style of what it believes came before: a prompt in simplified characters
gives simplified output, and words that stand in it are spelt the same way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

OPENINGS = {
    "zh": "以下是普通话的句子。",
}
"""By language; the others are written well without."""

_HAN = re.compile(r"[\u3400-\u9fff]")


def initial_prompt(language: str, hints: Sequence[str], *, max_chars: int) -> str:
    """The opening for ``language`` followed by those hints that are in its script.

    Args:
        language: ISO 639-1 code.
        hints: most important first.
        max_chars: hints that would make the prompt longer are left out.
    """
    chinese = language in {"zh", "ja"}
    prompt = OPENINGS.get(language, "")
    separator = "、" if chinese else ", "
    fitting: list[str] = []
    room = max_chars - len(prompt)
    for hint in dict.fromkeys(hints):
        if bool(_HAN.search(hint)) != chinese or len(hint) + len(separator) > room:
            continue
        fitting.append(hint)
        room -= len(hint) + len(separator)
    return " ".join(part for part in (prompt, separator.join(fitting)) if part)
