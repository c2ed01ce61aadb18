"""Clock times in Chinese, English and Spanish as HH:MM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edge_runtime.nlu.entities import numerals
from edge_runtime.nlu.entities.base import Context, entity
from edge_runtime.turn import Entity

_ZH: Final = re.compile(
    r"(?P<part>凌晨|清晨|早上|早晨|上午|中午|下午|傍晚|晚上|夜里|今晚|明晚|昨晚|今早|明早)?"
    r"(?P<hour>\d{1,2}|[零〇一二两三四五六七八九十]{1,3})(?:点钟?|时)"
    r"(?:(?P<half>半)|(?P<quarter>[一三])刻|(?P<minute>\d{1,2}|[零〇一二三四五六七八九十]{2,3}"
    r"|[一二三四五六七八九十](?=分))分?)?"
    r"(?![零一二三四五六七八九\d个]|间|候|间|期|后再)"
)
_CLOCK: Final = re.compile(
    r"(?<![\w:.])(?P<hour>\d{1,2})(?:[:h](?P<minute>\d{2}))?(?::\d{2})?\s*"
    r"(?P<part>[ap]\.?m\b\.?|o'?clock|de la (?:mañana|tarde|noche)|in the (?:morning|afternoon"
    r"|evening)"
    r"|at night)?(?![\w:])",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    r"(?<!\w)(?:noon|midday|midnight|mediodía|medianoche)(?!\w)|(?<!凌)正午|午夜|半夜"
)
_MIDNIGHT: Final = frozenset({"midnight", "medianoche", "午夜", "半夜"})
_AFTERNOON: Final = (
    "下午",
    "傍晚",
    "晚上",
    "夜里",
    "今晚",
    "明晚",
    "昨晚",
    "pm",
    "p.m",
    "tarde",
    "noche",
)
_EVENING: Final = ("afternoon", "evening", "night")


def find(text: str, context: Context) -> Iterator[Entity]:
    """Times of day; a number alone is none without a colon or a word that says so."""
    for match in _ZH.finditer(text):
        if match["quarter"]:
            minute = 15 if match["quarter"] == "一" else 45
        else:
            minute = 30 if match["half"] else _value(match["minute"])
        yield from _made(text, match, _value(match["hour"]), minute, match["part"] or "")
    for match in _CLOCK.finditer(text):
        if match["minute"] or match["part"]:
            part = (match["part"] or "").casefold()
            yield from _made(text, match, int(match["hour"]), int(match["minute"] or 0), part)
    for match in _NAMED.finditer(text):
        value = "00:00" if match[0].casefold() in _MIDNIGHT else "12:00"
        yield entity("time", value, text, *match.span())


def _value(text: str | None) -> int:
    number = numerals.decimal(text) if text else None
    return int(number) if number is not None else 0


def _made(text: str, match: re.Match[str], hour: int, minute: int, part: str) -> Iterator[Entity]:
    later = part.startswith(_AFTERNOON) or part.endswith((*_EVENING, "tarde", "noche"))
    if later and hour < 12:
        hour += 12
    if hour == 12 and (part.startswith(("am", "a.m", "凌晨"))):
        hour = 0
    if hour <= 24 and minute < 60:
        yield entity("time", f"{hour % 24:02d}:{minute:02d}", text, *match.span())
