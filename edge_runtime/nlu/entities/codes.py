"""Things written in a fixed form: e-mail, web address, telephone, postcode, order number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from edge_runtime.nlu.entities.base import Context, entity
from edge_runtime.turn import Entity

_EMAIL: Final = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![\w@-])",
    re.ASCII,
)
_URL: Final = re.compile(
    r"(?<![\w@.])(?:https?://|www\.)[^\s<>\"'\u3000-\u9fff]{3,500}"
    r"|(?<![\w@.-])(?:[a-z0-9-]{1,63}\.){1,4}(?:com|cn|org|net|es|io|shop|store|eu|gov|edu)"
    r"(?:/[^\s<>\"'\u3000-\u9fff]{0,300})?(?![\w@-])",
    re.IGNORECASE | re.ASCII,
)
_CN_MOBILE: Final = re.compile(
    r"(?<![\dA-Za-z])(?:\+?86[ -]?)?(1[3-9]\d)[ -]?(\d{4})[ -]?(\d{4})(?!\d)"
)
_PHONE_CUE: Final = re.compile(
    r"(?:电话|手机|号码|联系方式|拨打|致电|phone|mobile|cell|call|reach me|telephone|tel\b|teléfono"
    r"|móvil|celular|llám|telefon|téléphone|電話|전화)",
    re.IGNORECASE,
)
_REGIONS: Final = {
    "zh": "CN", "en": "US", "es": "ES", "fr": "FR", "de": "DE", "it": "IT", "pt": "BR", "ja": "JP",
    "ko": "KR", "ru": "RU", "nl": "NL", "tr": "TR", "sv": "SE", "pl": "PL", "hi": "IN", "th": "TH",
    "vi": "VN", "id": "ID", "ar": "SA",
}  # fmt: skip
_POSTCODE: Final = re.compile(
    r"(?:邮编|邮政编码|zip(?: ?code)?|post ?code|postal code|código postal|c\.?p\.?)"
    r"\s*(?:是|为|is|es)?\s*[:#]?\s*"
    r"([A-Za-z]{1,2}\d[A-Za-z\d]? ?\d[A-Za-z]{2}|\d{4,6}(?:-\d{4})?)(?!\w)",
    re.IGNORECASE,
)
_ORDER: Final = re.compile(
    r"(?:订单编号|订单号码|订单号|订单|单号|order(?: number| no\.?| id| num)?|pedido(?: número"
    r"| n[úu]m\.?"
    r"| n[ºo°]\.?)?|purchase|commande|bestellung|bestellnummer|注文番号)"
    r"\s*(?:是|为|is|es|was|number)?\s*[:#]?\s*(?=[A-Za-z-]{0,8}\d)([A-Za-z0-9][A-Za-z0-9-]{2,23})(?![\w-])",
    re.IGNORECASE | re.ASCII,
)
_HASHED: Final = re.compile(
    r"#\s?(?=[A-Za-z-]{0,6}\d)([A-Za-z0-9][A-Za-z0-9-]{2,23})(?![\w-])", re.ASCII
)
_CODE: Final = re.compile(
    r"(?<![\w#.-])(?=[A-Za-z0-9-]*\d)[A-Za-z]{1,6}-?\d[A-Za-z0-9-]{4,20}(?![\w-])", re.ASCII
)
_BARE: Final = re.compile(r"(?<![\w.,+¥$€£-])\d{6,20}(?![\w%]|[.,:]\d)", re.ASCII)


def emails(text: str, context: Context) -> Iterator[Entity]:
    for match in _EMAIL.finditer(text):
        yield entity("email", match[0].lower(), text, *match.span())


def urls(text: str, context: Context) -> Iterator[Entity]:
    for match in _URL.finditer(text):
        found = match[0].rstrip(".,;:!?)")
        yield entity("url", found, text, match.start(), match.start() + len(found))


def phones(text: str, context: Context) -> Iterator[Entity]:
    """Telephone numbers in E.164; bare digits count as one only when the number is really dialled
    so in the language's main country, or the customer says that it is a telephone."""
    for match in _CN_MOBILE.finditer(text):
        yield entity("phone", "+86" + "".join(match.groups()), text, *match.span())
    if sum(map(str.isdigit, text)) < 7:
        return
    import phonenumbers

    said = bool(_PHONE_CUE.search(text))
    leniency = phonenumbers.Leniency.POSSIBLE if said else phonenumbers.Leniency.VALID
    region = _REGIONS.get(context.language, "US")
    matcher = phonenumbers.PhoneNumberMatcher(text, region, leniency=leniency, max_tries=20)
    for found in matcher:
        value = phonenumbers.format_number(found.number, phonenumbers.PhoneNumberFormat.E164)
        yield entity("phone", value, text, found.start, found.end)


def postcodes(text: str, context: Context) -> Iterator[Entity]:
    for match in _POSTCODE.finditer(text):
        yield entity("postcode", match[1].upper(), text, *match.span(1))


class OrderIds:
    """Order numbers: announced ("order #1234"), of the shop's own form, or plainly a code.

    Args:
        patterns: regular expressions of the shop's own numbers; group 1, or all, is the number.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._own = tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)

    def __call__(self, text: str, context: Context) -> Iterator[Entity]:
        for pattern in (*self._own, _ORDER, _HASHED):
            group = 1 if pattern.groups else 0
            for match in pattern.finditer(text):
                yield entity("order_id", match[group].upper(), text, *match.span(group))
        for pattern in (_CODE, _BARE):
            for match in pattern.finditer(text):
                yield entity("order_id", match[0].upper(), text, *match.span())
