"""Numbers as people say them: "1,250.5", "两百五", "twenty five", "doscientos"."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from edge_runtime.numberwords import EN_SMALL, EN_TENS, ES_HUNDREDS, ES_SMALL, ES_TENS

_ZH_DIGITS: Final = {c: i for i, c in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "两": 2,
    "俩": 2,
    "仨": 3,
    "壹": 1,
    "贰": 2,
    "叁": 3,
    "肆": 4,
    "伍": 5,
    "陆": 6,
    "柒": 7,
    "捌": 8,
    "玖": 9,
}
_ZH_UNITS: Final = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_ZH_MYRIADS: Final = {"万": 10_000, "亿": 100_000_000}
_ZH_ALL: Final = "".join(_ZH_DIGITS) + "".join(_ZH_UNITS) + "".join(_ZH_MYRIADS)

_ADDED: Final[dict[str, int]] = (
    {word: value for value, word in enumerate(EN_SMALL)}
    | {word: 20 + 10 * index for index, word in enumerate(EN_TENS)}
    | {word: value for value, word in enumerate(ES_SMALL)}
    | {word: 30 + 10 * index for index, word in enumerate(ES_TENS)}
    | {word: 100 + 100 * index for index, word in enumerate(ES_HUNDREDS)}
    | {"cien": 100, "dozen": 12, "docena": 12}
)
_MULTIPLIED: Final = {
    "hundred": 100,
    "thousand": 1000,
    "mil": 1000,
    "million": 1_000_000,
    "millón": 1_000_000,
    "millones": 1_000_000,
    "billion": 1_000_000_000,
}
_WORD: Final = "|".join(sorted({*_ADDED, *_MULTIPLIED}, key=len, reverse=True))

ARABIC: Final = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?"
CHINESE: Final = rf"[{_ZH_ALL}]+(?:点[零〇一二三四五六七八九]+)?|半"
WORDS: Final = rf"(?<!\w)(?:{_WORD})(?:(?:[ -]| and | y )(?:{_WORD}))*(?!\w)"
_SCALE: Final = "hundred|thousand|mil|million|millón|millones|billion"
MIXED: Final = rf"(?:{ARABIC})(?:[十百千万亿]{{1,3}}| (?:{_SCALE})(?!\w))?"
ANY: Final = rf"(?:{MIXED}|{CHINESE}|{WORDS})"


def decimal(text: str) -> Decimal | None:
    """The value of ``text``, or ``None`` when it is not a number."""
    plain = text.strip().casefold()
    if re.fullmatch(ARABIC, plain):
        return _plain(plain.replace(",", ""))
    mixed = re.fullmatch(rf"({ARABIC})([十百千万亿]+)", plain)
    if mixed:
        base, scale = _plain(mixed[1].replace(",", "")), 1
        for char in mixed[2]:
            scale *= _ZH_UNITS.get(char) or _ZH_MYRIADS[char]
        return None if base is None else base * scale
    scaled = re.fullmatch(rf"({ARABIC}) (\w+)", plain)
    if scaled and scaled[2] in _MULTIPLIED:
        base = _plain(scaled[1].replace(",", ""))
        return None if base is None else base * _MULTIPLIED[scaled[2]]
    if re.fullmatch(CHINESE, plain):
        return chinese(plain)
    return _words(plain)


def shown(value: Decimal) -> str:
    """A decimal without an exponent or useless zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def chinese(text: str) -> Decimal | None:
    """Chinese numerals: positional ("一百二十三"), digit by digit ("二零二六"), clipped "
    "("两百五")."""
    if text == "半":
        return Decimal("0.5")
    whole, _, fraction = text.partition("点")
    value = _digit_by_digit(whole) if all(c in _ZH_DIGITS for c in whole) else _positional(whole)
    if value is None:
        return None
    if fraction:
        digits = "".join(str(_ZH_DIGITS[char]) for char in fraction)
        return Decimal(f"{value}.{digits}")
    return Decimal(value)


def _plain(text: str) -> Decimal | None:
    try:
        return Decimal(text) if len(text) <= 30 else None
    except InvalidOperation:
        return None


def _digit_by_digit(text: str) -> int | None:
    return int("".join(str(_ZH_DIGITS[char]) for char in text)) if 0 < len(text) <= 30 else None


def _positional(text: str) -> int | None:
    if len(text) > 30:
        return None
    total = section = digit = 0
    last_unit = 1
    gap = False
    for char in text:
        if char in _ZH_DIGITS:
            digit = _ZH_DIGITS[char]
            gap = gap or digit == 0
        elif char in _ZH_UNITS:
            last_unit, gap = _ZH_UNITS[char], False
            section += (digit or 1) * last_unit
            digit = 0
        else:
            last_unit, gap = _ZH_MYRIADS[char], False
            total = (total + section + digit) * last_unit
            section = digit = 0
    # "两百五" is 250: the digit after a unit counts in tenths of it unless a zero stands between.
    if digit and last_unit > 10 and not gap:
        digit *= last_unit // 10
    return total + section + digit


def _words(text: str) -> Decimal | None:
    total = current = 0
    seen = False
    for word in re.split(r"[ -]+", text):
        if word in {"and", "y"} and seen:
            continue
        if word in _ADDED:
            current += _ADDED[word]
        elif word in _MULTIPLIED:
            scale = _MULTIPLIED[word]
            current = (current or 1) * scale
            if scale >= 1000:
                total, current = total + current, 0
        else:
            return None
        seen = True
    return Decimal(total + current) if seen else None
