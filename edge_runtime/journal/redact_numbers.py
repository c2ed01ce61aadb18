"""Personal numbers in text: phones, identity cards, bank cards, IBANs and the like.

Digits are looked for in two shadows of the text that keep every character's place: one where
full-width and other Unicode digits, spaces and dashes become plain ones, and one where digits
spoken in Chinese (一三八零…) do too. Runs of digit groups are cut into the longest stretch that is
a known kind of number, so that grouping by spaces or dashes does not hide one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from stdnum import iban, luhn
from stdnum.es import dni, nie
from stdnum.iso7064 import mod_11_2

SPOKEN = dict(
    zip("零〇一幺二三四五六七八九壹贰叁肆伍陆柒捌玖", "001123456789123456789", strict=True)
)
_PROVINCES = frozenset(
    str(code)
    for codes in (
        range(11, 16), range(21, 24), range(31, 38), range(41, 47),
        range(50, 55), range(61, 66), (71, 81, 82, 83),
    )
    for code in codes
)  # fmt: skip
_LONGEST = 22

_RUN = re.compile(r"(?<![A-Za-z0-9])\+?\(?\d(?:[ \-.()_·]{0,3}\d)*(?:[ -]?[Xx](?![A-Za-z0-9]))?")
_SPOKEN_RUN = re.compile(r"\d(?:[ \-.,，、·]{0,2}\d){6,}(?:[Xx叉])?")
_GROUP = re.compile(r"\d+")

_PHONE_WORD = re.compile(
    r"电话|手机|座机|传真|联系方式|我的号码|打给|拨打|回电|致电|"
    r"phone|mobile|\bcell|\btel\b|\bcall|\bfax|\bdesk|\boffice\b|\breach\b|answering at|"
    r"whatsapp|tel[eé]fono|m[oó]vil|celular|ll[aá]m[aeo]|\bfijo\b"
)
_CARD_WORD = re.compile(
    r"银行卡|信用卡|储蓄卡|借记卡|卡号|\bcard\b|\bcc\b|\biban\b|tarjeta|账号|account number"
)
_ID_WORD = re.compile(
    r"身份证|护照|驾照|驾驶证|社保|ssn|social security|passport|licen[cs]e number|\bdni\b|\bnie\b|"
    r"pasaporte"
)
_ORDER_WORD = re.compile(
    r"订单|单号|运单|快递|物流|流水|发票|会员|积分|型号|货号|编号|条码|序列号|"
    r"\bsku\b|order|tracking|invoice|ticket|receipt|\bref|serial|model|zip|"
    r"pedido|factura|seguimiento|modelo|n[uú]mero de serie"
)
_PHONE_AFTER = re.compile(r"\s*[-–]?\s*\(?(?:office|fax|mobile|cell|desk|home|work)\b")
_AMOUNT_AFTER = re.compile(
    r"\s?(?:元|块|万|亿|千|百|个|件|箱|毫|克|%|€|£|\$|rmb|cny|usd|eur|dollar|euro|peso|yuan|pound)"
)
_AMOUNT_BEFORE = re.compile(r"[¥￥$€£]\s?$")

_SSN = (3, 2, 4)
_DNI = re.compile(
    r"(?<![A-Za-z0-9])(?:\d{2}\.?\d{3}\.?\d{3}|[XYZxyz]-?\d{7})-?[A-Za-z](?![A-Za-z0-9])"
)
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}"
    r"(?:[A-Za-z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?![A-Za-z0-9])"
)
_EXTENSION = re.compile(r"\s?(?:x|ext\.?|转)\s?\d{1,6}(?!\d)", re.IGNORECASE)
_DOCUMENT = re.compile(
    r"(?:护照|驾照|驾驶证|通行证|passport|pasaporte|licen[cs]e)"
    r"(?:号码|号|\s*(?:number|no\.?|n[uú]mero))?(?:是|为|\s*(?:is|es))?[:：#\s]*"
    r"([A-Za-z]{0,2}\d[\d-]{5,13})",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data at [start, end) of the text; ``value`` is its canonical form."""

    start: int
    end: int
    kind: str
    value: str


def plain(text: str) -> str:
    """The text with every character folded to its plain ASCII form where it has one of length 1."""
    return "".join(_plain_char(char) for char in text) if not text.isascii() else text


def _plain_char(char: str) -> str:
    if char < "\x80":
        return char
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Pd" or char in "−‑﹣":
        return "-"
    if category in {"Zs", "Cf"}:
        return " "
    folded = unicodedata.normalize("NFKC", char)
    return folded if len(folded) == 1 and folded.isascii() else char


def find_numbers(text: str) -> Iterator[Span]:
    """Every personal number of ``text`` (already :func:`plain`), most certain kinds first."""
    for match in _IBAN.finditer(text):
        compact = match[0].replace(" ", "")
        if iban.is_valid(compact):
            yield Span(match.start(), match.end(), "IBAN", compact.upper())
    for match in _DNI.finditer(text):
        if dni.is_valid(match[0]) or nie.is_valid(match[0]):
            yield Span(match.start(), match.end(), "ID", re.sub(r"\W", "", match[0]).upper())
    for match in _DOCUMENT.finditer(text):
        yield Span(match.start(1), match.end(1), "ID", match[1].upper())
    for match in _RUN.finditer(text):
        yield from _cut(text, match)
    if any(char in SPOKEN for char in text):
        spoken = "".join(SPOKEN.get(char, char) for char in text)
        for match in _SPOKEN_RUN.finditer(spoken):
            if any(char in SPOKEN for char in text[match.start() : match.end()]):
                yield from _cut(spoken, match)


def _cut(text: str, match: re.Match[str]) -> Iterator[Span]:
    groups = [(g.start(), g.end()) for g in _GROUP.finditer(text, match.start(), match.end())]
    first = 0
    while first < len(groups):
        sizes = tuple(end - start for start, end in groups[first : first + 3])
        dated = "".join(text[start:end] for start, end in groups[first : first + 3])
        if len(sizes) == 3 and _is_date(dated, sizes):
            first += 3
            continue
        for last in range(min(len(groups), first + _LONGEST), first, -1):
            span = _classify(text, match, groups[first:last], to_end=last == len(groups))
            if span is not None:
                yield span
                first = last
                break
        else:
            first += 1


def _classify(
    text: str, run: re.Match[str], groups: list[tuple[int, int]], *, to_end: bool
) -> Span | None:
    digits = "".join(text[start:end] for start, end in groups)
    if not 6 <= len(digits) <= _LONGEST:
        return None
    start, end = groups[0][0], groups[-1][1]
    if to_end and run[0][-1] in "Xx叉" and len(digits) == 17:
        end, digits = run.end(), digits + "X"
    starts_run = start == groups[0][0] and text[run.start() : start].strip(" (") == "+"
    sizes = tuple(stop - begin for begin, stop in groups)
    context = _context(text, start, end)
    kind = _kind(digits, sizes, context, international=starts_run)
    if kind is None:
        return None
    begin = run.start() if starts_run or text[run.start() : start] == "(" else start
    if kind == "PHONE" and (extension := _EXTENSION.match(text, end)):
        end = extension.end()
    value = re.sub(r"^(?:00)?86(?=1[3-9]\d{9}$)", "", digits) if kind == "PHONE" else digits
    return Span(begin, end, kind, value)


def _kind(digits: str, sizes: tuple[int, ...], context: str, *, international: bool) -> str | None:
    if _is_identity_card(digits):
        return "ID"
    if digits.isdigit() and _is_bank_card(digits, context):
        return "CARD"
    phone = re.fullmatch(r"(?:(?:00)?86)?1[3-9]\d{9}", digits) is not None
    if not phone and (context == "amount" or _is_date(digits, sizes)):
        return None
    if not phone and (_is_old_identity_card(digits) or sizes == _SSN or context == "id"):
        return "ID"
    if phone or (
        context != "order" and _is_phone(digits, sizes, context, international=international)
    ):
        return "PHONE"
    return None


def _context(text: str, start: int, end: int) -> str:
    """What the nearest words say the number is: phone, card, id, order, amount, or nothing."""
    before = text[max(0, start - 32) : start].lower()
    after = text[end : end + 12].lower()
    if _AMOUNT_AFTER.match(after) or _AMOUNT_BEFORE.search(before):
        return "amount"
    nearest, name = -1, ""
    for candidate, words in (
        ("phone", _PHONE_WORD), ("card", _CARD_WORD), ("id", _ID_WORD), ("order", _ORDER_WORD)
    ):  # fmt: skip
        for match in words.finditer(before):
            if match.end() > nearest:
                nearest, name = match.end(), candidate
    if not name and _PHONE_AFTER.match(after):
        return "phone"
    return name


def _birth_date(text: str) -> bool:
    try:
        born = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return False
    return 1900 <= born.year <= 2099


def _is_identity_card(digits: str) -> bool:
    """GB 11643: 18 characters. A misheard one (wrong check character) is masked all the same when
    region and birth date are sound and it is no valid bank card."""
    if len(digits) != 18 or digits[:2] not in _PROVINCES or not _birth_date(digits[6:14]):
        return False
    return mod_11_2.is_valid(digits) or not (digits.isdigit() and luhn.is_valid(digits))


def _is_old_identity_card(digits: str) -> bool:
    return len(digits) == 15 and digits[:2] in _PROVINCES and _birth_date("19" + digits[6:12])


def _is_bank_card(digits: str, context: str) -> bool:
    if not 12 <= len(digits) <= 19:
        return False
    if context == "card":
        return True
    return (
        len(digits) >= 13 and digits[0] in "23456" and context != "order" and luhn.is_valid(digits)
    )


def _is_date(digits: str, sizes: tuple[int, ...]) -> bool:
    if sizes in {(4, 2, 2), (4, 1, 2), (4, 2, 1), (8,)} or (len(digits) == 14 and len(sizes) <= 6):
        return re.match(r"(?:19|20)\d\d[01]?\d[0-3]?\d", digits) is not None
    return (
        sizes in {(2, 2, 4), (1, 2, 4), (2, 1, 4)}
        and re.search(r"(?:19|20)\d\d$", digits) is not None
    )


def _is_phone(digits: str, sizes: tuple[int, ...], context: str, *, international: bool) -> bool:
    if international or digits.startswith("00"):
        return _is_possible_international(digits.removeprefix("00"))
    if context == "phone" and len(digits) <= 16:
        return True
    landline = re.fullmatch(r"0(?:10|2\d)\d{8}|0[3-9]\d{2}\d{7,8}", digits)
    if landline and (len(sizes) > 1 or len(digits) >= 11):
        return True
    return (
        len(sizes) >= 3
        and 9 <= len(digits) <= 15
        and all(1 <= size <= 5 for size in sizes[1:-1])
        and (max(sizes) <= 5 and min(sizes) >= 2)
    )


def _is_possible_international(digits: str) -> bool:
    import phonenumbers

    try:
        number = phonenumbers.parse("+" + digits, None)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number(number)
