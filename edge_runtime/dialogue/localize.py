"""Values in the customer's language: days, money, lists, names of what was bought."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from edge_runtime.dialogue.base import Order, ShopData
from edge_runtime.packs import Pack

_WEEKDAYS = {
    "zh": ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
}
_MONTHS = {
    "en": (
        *("January", "February", "March", "April", "May", "June", "July"),
        *("August", "September", "October", "November", "December"),
    ),
    "es": (
        *("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio"),
        *("agosto", "septiembre", "octubre", "noviembre", "diciembre"),
    ),
}
_SEPARATORS = {"zh": "、"}
_TIMES = {"zh": "{name}{count}件", "en": "{count} × {name}", "es": "{count} × {name}"}
_CARRIER = {"zh": "快递", "en": "the courier", "es": "el transportista"}
_SOON = {"zh": "近日", "en": "soon", "es": "pronto"}


def day(value: date | None, language: str) -> str:
    """A day such as "11月26日(周四)", "Thursday 26 November", "jueves 26 de noviembre".

    Languages without words of their own here get English; no day at all is "soon".
    """
    spoken = language if language in _WEEKDAYS else "en"
    if value is None:
        return _SOON[spoken]
    weekday = _WEEKDAYS[spoken][value.weekday()]
    if spoken == "zh":
        return f"{value.month}月{value.day}日({weekday})"
    month = _MONTHS[spoken][value.month - 1]
    between = " de " if spoken == "es" else " "
    return f"{weekday} {value.day}{between}{month}"


def amount(value: Decimal) -> str:
    """An amount without its currency, which the pack's wording names: "199", "19.90"."""
    rounded = value.quantize(Decimal("0.01"))
    return f"{rounded:.0f}" if rounded == rounded.to_integral_value() else f"{rounded:f}"


def money(value: Decimal) -> str:
    """An amount with its currency sign, for cards: "¥199"."""
    return f"¥{amount(value)}"


def joined(values: Iterable[str], language: str) -> str:
    """A list as the language writes it."""
    return _SEPARATORS.get(language, ", ").join(values)


def carrier(name: str, language: str) -> str:
    """The carrier's name, or a word for whoever it will be."""
    return name or _CARRIER.get(language, _CARRIER["en"])


def items(order: Order, shop: ShopData, language: str) -> str:
    """What an order holds, by product name."""
    parts = []
    for item in order.items:
        product = shop.product(item.product)
        name = product.name(language) if product else item.product
        times = _TIMES.get(language, _TIMES["en"])
        parts.append(times.format(name=name, count=item.quantity) if item.quantity > 1 else name)
    return joined(parts, language)


def status(order: Order, pack: Pack, language: str) -> str:
    """The order's status in words; packs whose skills do not speak of it have none."""
    try:
        return pack.reply(f"status_{order.status}", language)
    except KeyError:
        return order.status.replace("_", " ")
