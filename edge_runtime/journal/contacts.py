"""What a person gave of themselves, recognised in any spelling: to find and erase them by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from edge_runtime.errors import InputError
from edge_runtime.journal.completion import GAP, parse_time
from edge_runtime.journal.payloads import decode
from edge_runtime.journal.redact import Redactor
from edge_runtime.journal.redact_numbers import SPOKEN, plain

MAX_CONTACT_CHARS = 200
KINDS = frozenset({"PHONE", "EMAIL", "ACCOUNT", "ID", "CARD", "IBAN", "PLATE", "ORDER"})
"""Kinds that are one person's alone. A name or an address is shared by many."""
_AS_GIVEN = ("{}", "phone {}", "wechat {}", "order number {}")
_Row = tuple[int, str, str]


def recognised(contact: str, redactor: Redactor) -> tuple[tuple[str, ...], str]:
    """The pseudonyms of a phone, an e-mail address, a card …, and its canonical form.

    Some are two things: ``wx20251103`` is an account, or an order number where those are masked.

    Raises:
        InputError: it is none of these, or more than one.
    """
    given = plain(contact.strip())
    found: dict[str, str] = {}
    if 0 < len(given) <= MAX_CONTACT_CHARS:
        for form in _AS_GIVEN:
            text = form.format(given)
            spans = redactor.spans(text)
            if len(spans) != 1 or spans[0].kind not in KINDS or spans[0].end != len(text):
                continue
            if not found or spans[0].kind == "ORDER":
                found[redactor.pseudonym(spans[0].kind, spans[0].value)] = spans[0].value
    if not found:
        raise InputError(
            "That is no phone, e-mail address, account, card, identity number or plate.",
            hint="Give it whole, or the person's id with --user. Order numbers count where the"
            " business has them masked.",
        )
    return tuple(found), next(iter(found.values()))


def may_hold(body: str, value: str) -> bool:
    """Whether a turn may hold a canonical value in some spelling: quick, and never wrongly no."""
    unbroken = body.replace("\\n", " ").replace("\\t", " ")
    return value.translate(_BARE) in unbroken.translate(_BARE)


def dialogues(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Cut a session's turns (number, id, body), in the order of time, into dialogues."""
    current: list[_Row] = []
    last: datetime | None = None
    for row in rows:
        try:
            at: datetime | None = parse_time(decode(row[2]).started_at)
        except ValueError:
            at = last
        if current and at is not None and last is not None and at - last >= GAP:
            yield current
            current = []
        current.append(row)
        last = at
    if current:
        yield current


class _Bare(dict[int, str | None]):
    """Letters and digits in their plainest form, nothing else; learns each character once."""

    def __missing__(self, code: int) -> str | None:
        char = plain(SPOKEN.get(chr(code), chr(code))).lower()
        self[code] = char if char.isalnum() else None
        return self[code]


_BARE = _Bare()
