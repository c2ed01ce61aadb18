"""Money and dates as printed on receipts in Chinese, English, Spanish and Malay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

_CURRENCY = r"(?:RM|MYR|USD|EUR|CNY|RMB|US\$|S\$|[$¥￥€£])"
_MONEY = re.compile(
    rf"(?P<currency>{_CURRENCY})?[ ]?(?P<sign>[-(]?)[ ]?"
    r"(?P<number>\d{1,3}(?:[,.]\d{3})+[.,]\d{2}|\d{1,7}[.,][ ]?\d{2}|\d{1,7}[.]\d|\d{1,7})"
    r"(?![\d/:%-]|[.,]\d)(?P<yuan>[ ]?[元圆])?",
    re.IGNORECASE,
)
# Engines confuse these only next to digits: "RMO.47", "S8.20", "l2.00".
_MISREAD_ZERO = re.compile(r"(?<=RM)[OoQ](?=[.,]\d)|(?<=\d[.,])[OoQ](?=\d\b)|(?<=\d[.,]\d)[OoQ]\b")
_MISREAD_DOLLAR = re.compile(r"(?<![A-Za-z0-9])S(?=\d+[.,]\d\d\b)")

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january enero ene januari",
            "feb february febrero februari",
            "mar march marzo mac",
            "apr april abril abr",
            "may mayo mei",
            "jun june junio",
            "jul july julio julai",
            "aug august agosto ago ogos ogo",
            "sep sept september septiembre",
            "oct october octubre okt oktober",
            "nov november noviembre",
            "dec december diciembre dic dis disember",
        ),
        start=1,
    )
    for name in names.split()
}
# Recognition often loses the space between the day and the time: "2026-11-2018:32".
_TIME = r"(?=[0-2]\d:[0-5]\d)"
_YEAR_FIRST = re.compile(
    r"(?<!\d)(20\d\d)\s{0,2}[-/.年 ]\s{0,2}(\d{1,2})\s{0,2}[-/.月 ]\s{0,2}"
    rf"(?:(\d\d){_TIME}|(\d{{1,2}})(?!\d))"
)
_DAY_FIRST = re.compile(
    r"(?<![\d.])(\d{1,2})\s?[-/.]\s?(\d{1,2})\s?[-/.]\s?"
    rf"(?:(20\d\d){_TIME}|(20\d\d|\d\d)(?![\d/]))"
)
_DAY_MONTH = re.compile(
    r"(?<!\d)(\d{1,2})[ .'-]?\s?([A-Za-z]{3,10})[ .,'-]{0,2}(20\d\d|\d\d)(?!\d)"
)
_MONTH_DAY = re.compile(
    r"\b([A-Za-z]{3,10})[ .]{0,2}(\d{1,2})(?:st|nd|rd|th)?[ ,]{1,2}(20\d\d)(?!\d)"
)
_COMPACT = re.compile(r"(?<!\d)(20\d\d)([01]\d)([0-3]\d)(?!\d)")


def amounts(text: str) -> Iterator[tuple[Decimal, bool]]:
    """Amounts in ``text`` and whether each is surely money (decimals or a currency sign)."""
    text = _MISREAD_DOLLAR.sub("$", _MISREAD_ZERO.sub("0", text))
    for match in _MONEY.finditer(text):
        before = text[max(0, match.start() - 1) : match.start()]
        if before and not match["currency"] and (before.isalnum() or before in "-/#@"):
            continue
        digits = match["number"].replace(" ", "")
        whole, mark, cents = digits[:-3], digits[-3:-2], digits[-2:]
        if mark in (".", ","):
            value = Decimal(f"{re.sub('[.,]', '', whole)}.{cents}")
        else:
            value = Decimal(digits)
        sure = "." in digits or "," in digits or bool(match["currency"] or match["yuan"])
        yield (-value if match["sign"] else value), sure


def find_date(text: str) -> str | None:
    """The first valid date as ISO 8601; two-digit and ambiguous dates are read day first."""
    for year, month, day in _dates(text):
        try:
            return date(year, month, day).isoformat()
        except ValueError:
            continue
    return None


def _dates(text: str) -> Iterator[tuple[int, int, int]]:
    for match in _YEAR_FIRST.finditer(text):
        yield int(match[1]), int(match[2]), int(match[3] or match[4])
    for match in _DAY_FIRST.finditer(text):
        day, month = int(match[1]), int(match[2])
        if month > 12:
            day, month = month, day
        yield _century(match[3] or match[4]), month, day
    for match in _DAY_MONTH.finditer(text):
        yield _century(match[3]), _MONTHS.get(match[2].lower(), 0), int(match[1])
    for match in _MONTH_DAY.finditer(text):
        yield int(match[3]), _MONTHS.get(match[1].lower(), 0), int(match[2])
    for match in _COMPACT.finditer(text):
        yield int(match[1]), int(match[2]), int(match[3])


def _century(year: str) -> int:
    return int(year) if len(year) == 4 else 2000 + int(year)
