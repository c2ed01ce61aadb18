"""Dates of birth: a date only where words say that someone was born on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_runtime.journal.redact_numbers import Span

_MONTH = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|ene|abr|ago|dic|enero|febrero|marzo|abril|"
    r"mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)[a-z]{0,7}\.?"
)
_DATE = (
    r"\d{4}\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,2}日?"
    r"|\d{1,2}\s?[-/.]\s?\d{1,2}\s?[-/.]\s?(?:\d{4}|\d{2})(?!\d)"
    rf"|\d{{1,2}}(?:st|nd|rd|th|º)?\s(?:of\s|de\s)?{_MONTH}(?:,?\s(?:de\s|del\s)?\d{{4}})?"
    rf"|{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?"
    r"|(?:19|20)\d{6}(?!\d)"
    r"|\d{1,2}月\d{1,2}[日号]"
)
_BIRTH = re.compile(
    r"(?:\bborn(?:\s(?:on|in))?|\bdate of birth|\bbirth\s?date|\bbirthday|\bd\.?o\.?b\b\.?"
    r"|\bnac[ií](?:ó|da|do)?(?:\sel)?|\bfecha de nacimiento|\bcumpleaños"
    r"|出生日期|出生年月|出生于|出生|生日)"
    rf"(?:\s(?:is|was|es)|是|为|在)?\s?[:：]?\s?(?P<date>{_DATE})",
    re.IGNORECASE,
)
_BORN_AFTER = re.compile(rf"(?P<date>{_DATE})\s?(?:出生|生的|生人)", re.IGNORECASE)


def find_birth_dates(text: str) -> Iterator[Span]:
    """Every date of ``text`` that words make somebody's date of birth."""
    for pattern in (_BIRTH, _BORN_AFTER):
        for match in pattern.finditer(text):
            value = re.sub(r"\W", "", match["date"]).lower()
            yield Span(match.start("date"), match.end("date"), "BIRTH", value)
