"""Figures that are written alike in every language that uses Latin letters."""

from __future__ import annotations

import re
from collections.abc import Iterable

ISO_DATE = re.compile(
    r"(?<![\d-])((?:19|20)\d{2})([-/.])(1[0-2]|0?[1-9])\2(3[01]|[12]\d|0?[1-9])(?![\d-])"
)
CODE = re.compile(
    r"(?<![\d.,A-Za-z])(?:[A-Za-z]{1,6}-?\d[-\d]{2,40}|\d{7,40}|0\d{1,40})(?![\d.,]?\d)"
)
HYPHENED = re.compile(r"(?<![\d.])\d{1,20}(?:-\d{1,20}){2,6}(?![\d.])")
NEGATIVE = re.compile(r"(?<![\dA-Za-z)-])-(?=\d)")


def any_of(signs: Iterable[str]) -> str:
    """A regular expression for one of ``signs``, the longest that fits."""
    return "|".join(re.escape(sign) for sign in sorted(signs, key=len, reverse=True))
