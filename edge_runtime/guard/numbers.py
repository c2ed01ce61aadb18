"""Numbers with their units, as digits, Chinese numerals or words, made comparable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

_CHINESE_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "两": 2,
}
_CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000}
_WORDS = {
    word: value
    for value, words in {
        1: "one uno una",
        2: "two dos",
        3: "three tres",
        4: "four cuatro",
        5: "five cinco",
        6: "six seis",
        7: "seven siete",
        8: "eight ocho",
        9: "nine nueve",
        10: "ten diez",
        12: "twelve doce",
        14: "fourteen catorce",
        15: "fifteen quince",
        20: "twenty veinte",
        24: "twenty-four veinticuatro",
        30: "thirty treinta",
        45: "forty-five",
        60: "sixty sesenta",
        90: "ninety noventa",
        100: "hundred cien",
    }.items()
    for word in words.split()
}
# Unit as written → (family, how many of the family's base unit).
_UNITS: dict[str, tuple[str, int]] = {
    written: (family, factor)
    for family, factor, names in (
        ("time", 1, "分钟 minute minutes min mins minuto minutos"),
        ("time", 60, "小时 个小时 钟头 hour hours hora horas"),
        ("time", 1440, "天 日 个工作日 工作日 day days día días dia dias"),
        ("time", 10080, "周 个星期 星期 个礼拜 week weeks semana semanas"),
        ("month", 1, "个月 month months mes meses"),
        ("month", 12, "年 year years año años"),
        ("money", 1, "元 块 块钱 圆 yuan rmb cny dollars dollar euro euros usd eur rm € $ ¥ £"),
        ("share", 1, "% percent"),
        ("discount", 1, "折"),
    )
    for written in names.split()
}
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_SPAN = re.compile(
    rf"(?P<sign>[$¥€£]|\b(?:rm|usd|eur|cny)\b)?\s?"
    r"(?:(?P<digits>\d+(?:[.,]\d+)*)|(?P<chinese>[零〇一二两三四五六七八九十百千万亿半]+)"
    rf"|\b(?P<word>{'|'.join(sorted(_WORDS, key=len, reverse=True))})\b)"
    r"(?:[ -](?:business|working|calendar)(?=[ ]))?"
    rf"(?:[ -]?(?P<unit>{_UNIT})(?![a-z]))?",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"百分之([\d.零一二三四五六七八九十百半]+)")
_LIST_MARK = re.compile(r"^\s*\d{1,2}[.)、](?!\d)")


@dataclass(frozen=True, slots=True)
class Quantity:
    """``value`` in the base unit of ``family`` ("" when it stands alone), ``raw`` as written."""

    value: Decimal
    family: str
    raw: Decimal = field(compare=False)


def quantities(text: str) -> Iterator[Quantity]:
    """Quantities stated in ``text``.

    Chinese numerals and number words count only with a unit ("一下", "one of them" state none).
    """
    plain = _LIST_MARK.sub("", unicodedata.normalize("NFKC", text).lower())
    plain = _PERCENT.sub(r"\1%", plain)
    for match in _SPAN.finditer(plain):
        unit = match["unit"] or match["sign"] or ""
        family, factor = _UNITS.get(unit, ("", 1))
        if match["digits"]:
            value = _digits(match["digits"])
        elif not family:
            continue
        else:
            word = match["word"]
            value = Decimal(_WORDS[word]) if word else chinese_number(match["chinese"])
        yield Quantity(value * factor, family, value)


def chinese_number(text: str) -> Decimal:
    """Value of a Chinese numeral: 三十 → 30, 一百二十 → 120, 二〇二六 → 2026, 半 → 0.5."""
    if all(char in _CHINESE_DIGITS for char in text):
        return Decimal("".join(str(_CHINESE_DIGITS[char]) for char in text))
    total, section, digit = Decimal(0), Decimal(0), Decimal(0)
    for char in text:
        if char in _CHINESE_DIGITS:
            digit = Decimal(_CHINESE_DIGITS[char])
        elif char == "半":
            digit += Decimal("0.5")
        elif _CHINESE_SCALES[char] >= 10_000:
            total += (section + digit or 1) * _CHINESE_SCALES[char]
            section = digit = Decimal(0)
        else:
            section += (digit or 1) * _CHINESE_SCALES[char]
            digit = Decimal(0)
    return total + section + digit


def _digits(text: str) -> Decimal:
    parts = re.split("[.,]", text)
    if len(parts) == 1:
        return Decimal(text)
    *whole, last = parts
    if len(last) == 3 and all(len(part) == 3 for part in parts[1:]):
        return Decimal("".join(parts))
    return Decimal(f"{''.join(whole)}.{last}")
