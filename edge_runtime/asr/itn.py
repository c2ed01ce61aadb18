"""Numbers that were read out digit by digit, as digits: the unambiguous part of inverse text
normalisation.

Order, phone and member numbers are spoken that way. Quantities (三百二十, "thirty two") are left
to whoever knows what they measure.
"""

from __future__ import annotations

import re

MIN_DIGITS = 4
"""Digits in a row before they count as a number that was read out."""

_WORDS = {
    "zh": ("零〇", "一幺", "二", "三", "四", "五", "六", "七", "八", "九"),
    "en": ("zero oh o", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "es": ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
}
_IDIOMS = frozenset({"七七八八", "三三五五"})


def digits_read_out(text: str, language: str) -> str:
    """``text`` with runs of at least ``MIN_DIGITS`` spoken digits written as one number.

    Digits may be words of ``language`` or lone figures, with a space, comma or dash between them:
    "一三八零零" and "1, 3, 8, 0, 0" both become "13800". Figures already grouped
    ("2026-11-24") stay as they are.
    """
    run, value = _RUNS.get(language, _RUNS[""])

    def join(match: re.Match[str]) -> str:
        decimals = match[1] is not None
        if decimals or match[0] in _IDIOMS:
            return match[0]
        return "".join(value.get(token, token) for token in _TOKEN.findall(match[0].lower()))

    return run.sub(join, text)


_TOKEN = re.compile(r"[零〇一幺二三四五六七八九]|[a-z]+|\d")


def _run(language: str) -> tuple[re.Pattern[str], dict[str, str]]:
    """The pattern of a run of spoken digits and the value of each word in it."""
    value: dict[str, str] = {}
    for digit, words in enumerate(_WORDS.get(language, ())):
        value |= dict.fromkeys(words if language == "zh" else words.split(), str(digit))
    edge = "" if language == "zh" else r"\b"
    spoken = [rf"{edge}{word}{edge}" for word in value]
    token = "|".join([*spoken, r"(?<!\d)(?<!\d\.)\d(?!\.?\d)"])
    more = rf"(?:[\s、，,\-]{{0,2}}(?:{token})){{{MIN_DIGITS - 1},}}"
    run = rf"(点|point |coma |punto )?(?:{token}){more}"
    return re.compile(run, re.IGNORECASE), value


_RUNS = {language: _run(language) for language in (*_WORDS, "")}
