"""Money, quantities and plain numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from edge_runtime.nlu.entities import numerals
from edge_runtime.nlu.entities.base import Context, entity
from edge_runtime.turn import Entity

_SYMBOLS: Final = {"¥": "CNY", "$": "USD", "€": "EUR", "£": "GBP", "₩": "KRW", "₹": "INR"}
_NAMES: Final = {
    "块钱": "CNY", "块": "CNY", "元": "CNY", "圆": "CNY", "人民币": "CNY", "美元": "USD",
    "美金": "USD",
    "欧元": "EUR", "英镑": "GBP", "港币": "HKD", "港元": "HKD", "日元": "JPY", "台币": "TWD",
    "韩元": "KRW",
    "usd": "USD", "us dollars": "USD", "dollars": "USD", "dollar": "USD", "bucks": "USD",
    "buck": "USD",
    "eur": "EUR", "euros": "EUR", "euro": "EUR", "gbp": "GBP", "pounds": "GBP", "pound": "GBP",
    "quid": "GBP", "rmb": "CNY", "cny": "CNY", "yuan": "CNY", "yuanes": "CNY", "jpy": "JPY",
    "yen": "JPY",
    "hkd": "HKD", "pesos": "MXN", "peso": "MXN", "dólares": "USD", "dolares": "USD", "dólar": "USD",
    "libras": "GBP", "yenes": "JPY", "francs": "CHF", "rupees": "INR", "円": "JPY", "원": "KRW",
}  # fmt: skip
_SMALL: Final = {"毛": "0.1", "角": "0.1", "分钱": "0.01"}
_NAME: Final = "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True))
_NUMBER: Final = numerals.ANY
_EUROPEAN: Final = r"\d{1,3}(?:\.\d{3})+(?:,\d+)?|\d+,\d{1,2}(?!\d)"
_BEFORE: Final = re.compile(
    rf"(?P<sign>[¥$€£₩₹])\s?(?P<number>{_EUROPEAN}(?! mill)|{numerals.MIXED})"
)
_AFTER: Final = re.compile(
    rf"(?P<number>{_EUROPEAN}|{_NUMBER})(?:[ -]| de )?(?P<name>(?:{_NAME})(?![a-z])|[¥$€£₩₹])"
    r"(?P<tail>[零一二三四五六七八九\d](?![\d零一二三四五六七八九十百千个件天])(?:毛|角)?)?",
    re.IGNORECASE,
)
_TENTHS: Final = re.compile(rf"(?P<number>{_NUMBER})(?P<name>毛钱?|角钱?|分钱)")
_PLAIN: Final = re.compile(
    rf"(?<![\w.,])-?(?:{numerals.MIXED})%?(?![\w])|{numerals.CHINESE}|{numerals.WORDS}|(?<!\w)-?(?:{numerals.ARABIC})%?",
    re.IGNORECASE,
)
_ZH_PERCENT: Final = re.compile(rf"百分之({numerals.CHINESE}|{numerals.ARABIC})")
_CLASSIFIER: Final = (
    "公斤|千克|毫升|厘米|平方米|克|斤|升|米|件|个|双|只|盒|瓶|杯|份|条|台|部|包|袋|箱|套|张|本"
    "|把|支|枝|块"
    "|片|桶|罐|对|打|串|根|颗|粒|束|辆|顶|副|间|碗|盘|听|卷|种|款|位|样"
)
_UNIT: Final = (
    r"(?:pairs?|pieces?|pcs|boxes|box|bottles?|packs?|packets?|cans?|bags?|cups?|sets?|items?"
    r"|units?"
    r"|kg|kilos?|grams?|g|litres?|liters?|ml|lbs?|ounces?|oz|cm|metres?|meters?|dozen"
    r"|pares?|par|piezas?|cajas?|botellas?|paquetes?|latas?|bolsas?|tazas?|unidades|unidad"
    r"|gramos?|litros?)"
)
_ZH_QUANTITY: Final = re.compile(
    rf"(?<![第这那哪每某])(?P<number>{_NUMBER})\s?(?P<unit>{_CLASSIFIER})(?![月星礼小])"
)
_QUANTITY: Final = re.compile(
    rf"(?<!\w)(?P<number>an?|una?|{_NUMBER}) ?(?P<unit>{_UNIT})(?!\w)"
    rf"|(?<!\w)x ?(?P<times>\d{{1,4}})(?!\w)",
    re.IGNORECASE,
)
# Characters that are numerals but mostly belong to words.
_WORDS_WITH_NUMERALS: Final = re.compile(
    r"一下|一样|一起|一直|一定|一般|一点|一些|一共|统一|唯一|第一|万一|一旦|一切|一边|一会|十分"
    r"|千万|百货|四川"
    r"|三星|七夕|五金|九月|两者|三明治|一致|专一|一律|一向|另一|半天|多半|八卦|零食|零钱|零售"
    r"|一块儿|百度|万分"
)


def money(text: str, context: Context) -> Iterator[Entity]:
    """Amounts as "<decimal> <ISO 4217 code>"; "三块五" is 3.5."""
    for match in _BEFORE.finditer(text):
        value = _parsed(match["number"])
        if value is not None:
            yield entity("money", _price(value, _SYMBOLS[match["sign"]]), text, *match.span())
    for match in _AFTER.finditer(text):
        value = _parsed(match["number"])
        if value is None:
            continue
        end = match.end()
        if match["tail"] and match["name"] in {"块", "元"}:
            tenth = numerals.decimal(match["tail"].rstrip("毛角"))
            value += (tenth or Decimal(0)) / 10
        else:
            end = match.end("name")
        name = match["name"].casefold()
        currency = _SYMBOLS.get(name) or _NAMES[name]
        yield entity("money", _price(value, currency), text, match.start(), end)
    for match in _TENTHS.finditer(text):
        value = _parsed(match["number"])
        if value is not None:
            part = Decimal("0.01" if match["name"].startswith("分") else "0.1")
            yield entity("money", _price(value * part, "CNY"), text, *match.span())


def quantities(text: str, context: Context) -> Iterator[Entity]:
    """How many or how much, as a decimal; the unit stays in the entity's text."""
    for match in _ZH_QUANTITY.finditer(text):
        if _WORDS_WITH_NUMERALS.match(text, match.start()):
            continue
        value = _parsed(match["number"])
        if value is not None:
            yield entity("quantity", numerals.shown(value), text, *match.span())
    for match in _QUANTITY.finditer(text):
        number = match["times"] or match["number"]
        value = Decimal(1) if number.casefold() in {"a", "an", "un", "una"} else _parsed(number)
        if value is not None:
            yield entity("quantity", numerals.shown(value), text, *match.span())


def numbers(text: str, context: Context) -> Iterator[Entity]:
    """Everything else that is a number; a percentage keeps its sign."""
    idioms = [match.span() for match in _WORDS_WITH_NUMERALS.finditer(text)]
    for match in _ZH_PERCENT.finditer(text):
        value = _parsed(match[1])
        if value is not None:
            yield entity("number", numerals.shown(value) + "%", text, *match.span())
    for match in _PLAIN.finditer(text):
        start, end = match.span()
        if any(a < end and start < b for a, b in idioms):
            continue
        raw = match[0]
        value = _parsed(raw.strip("-%"))
        if value is not None:
            signed = -value if raw.startswith("-") else value
            percent = "%" if raw.endswith("%") else ""
            yield entity("number", numerals.shown(signed) + percent, text, start, end)


def _parsed(text: str) -> Decimal | None:
    if re.fullmatch(_EUROPEAN, text):
        text = text.replace(".", "").replace(",", ".")
    return numerals.decimal(text)


def _price(value: Decimal, currency: str) -> str:
    return f"{numerals.shown(value)} {currency}"
