"""Masks personal data in whatever is about to leave the device.

Rules find what has a form (numbers, plates, mail) and what words introduce; a small trained reader
(:mod:`edge_runtime.journal.tagger`) finds names and addresses that stand alone.

Each find is replaced by ``[KIND:pseudonym]``; the pseudonym is the first 32 bits of an
HMAC-SHA256 under the device's key (or its shop's), so the same value always gets the same mask
there (a returning caller can be counted) and nobody without the key can look the value up.
Kinds: PHONE, ID, CARD, IBAN, EMAIL, ACCOUNT, PLATE, ADDRESS, NAME, IP, BIRTH, ORDER (only when the
policy asks), USER; TEXT for what could not be decided.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from edge_runtime.journal import tagger
from edge_runtime.journal.redact_dates import find_birth_dates
from edge_runtime.journal.redact_names import NO_CHINESE_NAME, NO_NAME, find_names, parts, repeated
from edge_runtime.journal.redact_numbers import Span, find_numbers, plain
from edge_runtime.journal.redact_places import find_addresses, find_plates, find_postcodes

MAX_CHARS = 8_000
"""Longer texts are cut here before they are searched: what was not searched must not leave."""
_MOST_PASSES = 6
_REMEMBERED = 32

_MASKED = re.compile(tagger.MASK)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[\w.%+-]{1,64}\s?@\s?[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5}"
    r"|[A-Za-z0-9][\w.+-]{1,63}\s?(?:艾特|圈[aA]|\(at\)|\[at\]|\s(?:at|arroba)\s)\s?"
    r"[A-Za-z0-9-]{1,63}\s?(?:点|\.|\sdot\s|\spunto\s)\s?(?:com|cn|net|org|es|co)\b",
    re.ASCII,
)
_ACCOUNT = re.compile(
    r"(?<![A-Za-z])(?:微信号?|wechat|weixin|QQ号?)(?:\s*(?:id|号码|号))?(?:是|为|\s+is)?\s*[:：]?\s*"
    r"([A-Za-z0-9][A-Za-z0-9_-]{4,19})(?![A-Za-z0-9_-])",
    re.IGNORECASE | re.ASCII,
)
_IP = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)|(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])"
)
_HOUSE_OR_CODE = re.compile(
    r"[^\W\d_]{3}.*\W\d|\d.*\W[^\W\d_]{2}"
    r"|^(?:\d{4,5}|\d{5}-\d{3,4}|\d{4}-\d{3}|\d{3}-\d{4}|\d{2}-\d{3}|\d{3} \d{2})$",
    re.DOTALL,
)
_BESIDE = re.compile(r"[\s,]{0,3}")
_ORDER = re.compile(
    r"(?:订单号?|单号|运单号?|order(?:\s+(?:number|no\.?|id))?|pedido(?:\s+n[uú]mero)?|tracking(?:\s+number)?)"
    r"(?:是|为|\s+(?:is|es))?\s*[:：#]?\s*([A-Za-z]{0,4}-?\d[A-Za-z0-9-]{3,24})",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RedactionPolicy:
    """What a business may choose. Order numbers stay readable unless it asks otherwise."""

    order_numbers: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What a conversation has shown to be somebody's: masked wherever it stands in it."""

    names: frozenset[str] = frozenset()
    orders: frozenset[str] = frozenset()


NOBODY = Known()


class Redactor:
    """Replaces personal data by keyed pseudonyms.

    Args:
        key: the device's secret, at least 16 bytes; it never leaves the device.
    """

    def __init__(self, key: bytes, policy: RedactionPolicy | None = None) -> None:
        if len(key) < 16:
            raise ValueError("the pseudonym key must be at least 16 bytes")
        self._key = key
        self._policy = policy or RedactionPolicy()
        # A turn's text, transcript and normalised form are often the same.
        self._found = lru_cache(_REMEMBERED)(self._search)

    @property
    def policy(self) -> RedactionPolicy:
        return self._policy

    def pseudonym(self, kind: str, value: str, *, length: int = 8) -> str:
        """``[KIND:ab12cd34]`` for a canonical value, ``length`` hexadecimal digits (8 to 16)."""
        digest = hmac.new(self._key, f"{kind}:{value}".encode("utf-8", "replace"), "sha256")
        return f"[{kind}:{digest.hexdigest()[:length]}]"

    def text(self, text: str, known: Known = NOBODY) -> str:
        """The text with every personal datum masked; masking twice changes nothing.

        A mask can make its neighbours plain, so the text is read until nothing more is found. What
        is still not settled after six readings is nobody's sentence and is masked whole.
        """
        text = _cut(text)
        for _ in range(_MOST_PASSES):
            masked = _cut(self._masked(text, self.spans(text, known)))
            if masked == text:
                return text
            text = masked
        return _cut(self._masked(text, _unmasked(text)))

    def _masked(self, text: str, spans: Iterable[Span]) -> str:
        pieces: list[str] = []
        at = 0
        for span in spans:
            pieces += (text[at : span.start], self.pseudonym(span.kind, span.value))
            at = span.end
        return "".join((*pieces, text[at:]))

    def known(self, texts: Iterable[str], orders: Iterable[str]) -> Known:
        """What the texts of one conversation show to be somebody's.

        Args:
            orders: its order numbers, beside those the texts call so.
        """
        names: set[str] = set()
        numbers = set(orders)
        for text in texts:
            spans = self.spans(_cut(text))
            names |= parts(text, [span for span in spans if span.kind == "NAME"])
            numbers |= {span.value for span in spans if span.kind == "ORDER"}
        return Known(frozenset(names), frozenset(numbers if self._policy.order_numbers else ()))

    def spans(self, text: str, known: Known = NOBODY) -> list[Span]:
        """Where personal data stands in ``text``, in order, never overlapping."""
        found = self._found(text)
        if known == NOBODY:
            return list(found)
        folded = plain(text)
        again = (*_orders(folded, known.orders), *repeated(folded, known.names))
        return _apart(text, folded, (*found, *again))

    def _search(self, text: str) -> tuple[Span, ...]:
        folded = plain(text)
        return tuple(_apart(text, folded, self._find(folded)))

    def _find(self, text: str) -> Iterator[Span]:
        for match in _EMAIL.finditer(text):
            yield Span(match.start(), match.end(), "EMAIL", re.sub(r"\s", "", match[0]).lower())
        for match in _IP.finditer(text):
            if _is_ip(match[0]):
                yield Span(match.start(), match.end(), "IP", match[0].lower())
        for match in _ACCOUNT.finditer(text):
            yield Span(match.start(1), match.end(1), "ACCOUNT", match[1].lower())
        yield from find_plates(text)
        if self._policy.order_numbers:
            for match in _ORDER.finditer(text):
                yield Span(match.start(1), match.end(1), "ORDER", match[1].upper())
        yield from find_birth_dates(text)
        yield from find_numbers(text)
        read = list(tagger.shipped().find(text))
        yield from _joined(text, "ADDRESS", [*find_addresses(text), *_addresses(text, read)])
        yield from find_postcodes(text)
        names = _joined(text, "NAME", [*find_names(text), *_names(text, read)])
        yield from names
        yield from repeated(text, parts(text, names))


def _apart(text: str, folded: str, spans: Iterable[Span]) -> list[Span]:
    """The spans in order, each without what an earlier one or a mask covers."""
    accepted = [Span(m.start(), m.end(), "", "") for m in _MASKED.finditer(text)]
    kept: list[Span] = []
    for span in spans:
        for piece in _without(span, accepted, folded):
            accepted.append(piece)
            kept.append(piece)
    return sorted(kept, key=lambda span: span.start)


def _orders(text: str, numbers: Iterable[str]) -> Iterator[Span]:
    for number in sorted(numbers):
        alone = rf"(?<![A-Za-z0-9]){re.escape(number)}(?![A-Za-z0-9])"
        for match in re.finditer(alone, text, re.IGNORECASE):
            yield Span(match.start(), match.end(), "ORDER", number.upper())


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return text != "::"


def _cut(text: str) -> str:
    """At most :data:`MAX_CHARS`, and no mask cut in two."""
    if len(text) <= MAX_CHARS:
        return text
    for mask in _MASKED.finditer(text, MAX_CHARS - 32, MAX_CHARS + 32):
        if mask.start() < MAX_CHARS < mask.end():
            return text[: mask.start()]
    return text[:MAX_CHARS]


def _unmasked(text: str) -> Iterator[Span]:
    at = 0
    for start, end in [*(mask.span() for mask in _MASKED.finditer(text)), (len(text), len(text))]:
        if any(char.isalnum() for char in text[at:start]):
            yield Span(at, start, "TEXT", text[at:start])
        at = end


def _names(text: str, read: Iterable[tagger.Tagged]) -> Iterator[tuple[int, int]]:
    """A letter alone is nobody's name."""
    for one in read:
        words = text[one.start : one.end]
        if words.lower() in NO_NAME or words in NO_CHINESE_NAME:
            continue
        if one.label == "name" and len(words) > 1:
            yield one.start, one.end


def _addresses(text: str, read: Iterable[tagger.Tagged]) -> Iterator[tuple[int, int]]:
    """A town or street alone is nobody's address, and numbers alone only as a postal code."""
    for start, end in _stretches(text, read):
        if _HOUSE_OR_CODE.search(text[start:end]):
            yield start, end


def _stretches(text: str, read: Iterable[tagger.Tagged]) -> list[tuple[int, int]]:
    """What was read as address, across names inside it: streets are called after people."""
    runs: list[tuple[int, int]] = []
    named: tagger.Tagged | None = None
    for one in read:
        if one.label == "name":
            named = one
            continue
        if (
            named is not None
            and runs
            and _BESIDE.fullmatch(text, runs[-1][1], named.start)
            and _BESIDE.fullmatch(text, named.end, one.start)
        ):
            runs[-1] = (runs[-1][0], one.end)
        else:
            runs.append((one.start, one.end))
        named = None
    return runs


def _joined(text: str, kind: str, found: Iterable[tuple[int, int]]) -> list[Span]:
    """One span for stretches that overlap, so that one datum gets one mask."""
    runs: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if runs and start < runs[-1][1]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    gap = "" if kind == "ADDRESS" else " "
    return [
        Span(start, end, kind, re.sub(r"[\s,，]+", gap, text[start:end]).strip(" .").lower())
        for start, end in runs
    ]


def _without(span: Span, taken: list[Span], text: str) -> Iterator[Span]:
    """The parts of ``span`` that no earlier find covers and that still hold a letter or digit."""
    start = span.start
    for other in sorted(taken, key=lambda item: item.start):
        if other.end <= start or other.start >= span.end:
            continue
        if any(char.isalnum() for char in text[start : other.start]):
            yield Span(start, other.start, span.kind, span.value)
        start = max(start, other.end)
    if any(char.isalnum() for char in text[start : span.end]):
        yield Span(start, span.end, span.kind, span.value)
