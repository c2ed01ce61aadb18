"""Mask personal data in replies, except what this customer said or was verified to own.

Found are phone numbers (Chinese, Spanish and North American habits, and any ``+`` number),
Chinese identity numbers (GB 11643 checksum), bank cards (Luhn, ISO/IEC 7812) and e-mail addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX_RUN = 96
_JOINERS = " -()."
_GAP = r"[ \-.]?"
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{2,63}){1,4}")
_IDENTITY = re.compile(r"(?<![A-Za-z0-9])\d{17}[\dXx](?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\d+])(?:\d[ -]?){14,18}\d(?!\d)")
_PHONES = (
    rf"(?:\+?86[ -]?)?1[3-9]\d{_GAP}\d{{4}}{_GAP}\d{{4}}",
    r"0\d{2,3}-\d{7,8}",
    rf"\+\d{{1,3}}(?:{_GAP}\(?\d{{1,4}}\)?){{2,5}}",
    r"\(\d{3}\) ?\d{3}[ -.]\d{4}",
    r"(?!400|8(?:00|33|44|55|66|77|88))[2-9]\d{2}([-. ])[2-9]\d{2}\1\d{4}",
    r"[679]\d{2}([ -.])\d{3}\2\d{3}",
    r"[679]\d{2}([ -.])\d{2}\3\d{2}\3\d{2}",
)
_PHONE = re.compile(rf"(?<![\dA-Za-z+])(?:{'|'.join(_PHONES)})(?![\dA-Za-z])")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_CHARACTERS = "10X98765432"
_HIDDEN = re.compile(r"[0-9Xx](?=(?:[^0-9Xx]*[0-9Xx]){4})")
"""All but the last four digits."""


def is_identity_number(text: str) -> bool:
    """Whether 18 characters carry a valid GB 11643-1999 checksum."""
    total = sum(int(digit) * weight for digit, weight in zip(text, _WEIGHTS, strict=False))
    return _CHECK_CHARACTERS[total % 11] == text[-1].upper()


def is_card_number(digits: str) -> bool:
    """Whether ``digits`` pass the Luhn check and are not all the same."""
    total = 0
    for position, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if position % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0 and len(set(digits)) > 1


class PrivacyStream:
    """One reply; runs of letters, digits and signs are held back until they end.

    Args:
        allowed: texts whose personal data may be repeated.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = " ".join(_bare(text) for text in allowed)
        self._run = ""
        self._fired: dict[str, None] = {}

    @property
    def fired(self) -> tuple[str, ...]:
        """``privacy:<kind>`` of everything masked so far."""
        return tuple(self._fired)

    def feed(self, delta: str) -> str:
        """Take more text and return what may be released now."""
        released: list[str] = []
        for char in delta:
            if self._continues(char):
                self._run += char
                if len(self._run) == _MAX_RUN:
                    released.append(self.finish())
            else:
                released.append(self.finish())
                if _starts(char):
                    self._run = char
                else:
                    released.append(char)
        return "".join(released)

    def finish(self) -> str:
        """Return the run held back, masked where it is personal data."""
        run, self._run = self._run, ""
        if sum(char.isdigit() for char in run) < 7 and "@" not in run:
            return run
        run = _EMAIL.sub(lambda match: self._mask(match, "email"), run)
        run = _IDENTITY.sub(self._mask_identity, run)
        run = _CARD.sub(self._mask_card, run)
        return _PHONE.sub(lambda match: self._mask(match, "phone"), run)

    def _continues(self, char: str) -> bool:
        if not self._run:
            return False
        last = self._run[-1]
        if char in _JOINERS:
            return last.isdigit() or last in ")-" or (char in ".-" and last.isascii())
        return _starts(char)

    def _mask_identity(self, match: re.Match[str]) -> str:
        return self._mask(match, "id") if is_identity_number(match[0]) else match[0]

    def _mask_card(self, match: re.Match[str]) -> str:
        digits = re.sub(r"\D", "", match[0])
        return self._mask(match, "card") if is_card_number(digits) else match[0]

    def _mask(self, match: re.Match[str], kind: str) -> str:
        found = match[0]
        if _bare(found) in self._allowed:
            return found
        self._fired[f"privacy:{kind}"] = None
        if kind == "email":
            return "***@" + found.rpartition("@")[2]
        return _HIDDEN.sub("*", found)


def _starts(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char in "@+_%(")


def _bare(text: str) -> str:
    return re.sub(r"[\s().-]", "", text).lower()
