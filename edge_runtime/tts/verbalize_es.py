"""Spanish: figures and signs into words."""

from __future__ import annotations

import re

from edge_runtime.numberwords import ES_HUNDREDS, ES_SMALL, ES_TENS
from edge_runtime.tts.signs import CODE, HYPHENED, ISO_DATE, NEGATIVE, any_of

_MONTHS = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
]

_CURRENCIES = {
    "€": ("euro", "euros", "céntimos"), "EUR": ("euro", "euros", "céntimos"),
    "$": ("dólar", "dólares", "centavos"), "US$": ("dólar", "dólares", "centavos"),
    "USD": ("dólar", "dólares", "centavos"), "MXN": ("peso", "pesos", "centavos"),
    "£": ("libra", "libras", "peniques"), "¥": ("yuan", "yuanes", ""),
    "RMB": ("yuan", "yuanes", ""), "CNY": ("yuan", "yuanes", ""),
}  # fmt: skip
_UNITS = {
    "kg": ("kilo", "kilos"), "mg": ("miligramo", "miligramos"), "g": ("gramo", "gramos"),
    "km/h": ("kilómetro por hora", "kilómetros por hora"), "km": ("kilómetro", "kilómetros"),
    "cm": ("centímetro", "centímetros"), "mm": ("milímetro", "milímetros"),
    "m²": ("metro cuadrado", "metros cuadrados"), "m": ("metro", "metros"),
    "ml": ("mililitro", "mililitros"), "l": ("litro", "litros"), "L": ("litro", "litros"),
    "°C": ("grado", "grados"), "℃": ("grado", "grados"), "°": ("grado", "grados"),
    "kW": ("kilovatio", "kilovatios"), "W": ("vatio", "vatios"), "V": ("voltio", "voltios"),
    "h": ("hora", "horas"), "min": ("minuto", "minutos"), "s": ("segundo", "segundos"),
    "GB": ("gigabyte", "gigabytes"), "MB": ("megabyte", "megabytes"),
    "mAh": ("miliamperio hora", "miliamperios hora"),
}  # fmt: skip
_SHORT_FORMS = (
    (re.compile(r"\bp\.\s?ej\.,?", re.IGNORECASE), "por ejemplo"),
    (re.compile(r"\betc\."), "etcétera"),
    (re.compile(r"\b[Nn](?:úm|ro|[.]?[º°])\.?\s*(?=\d)|#\s?(?=\d)"), "número "),
    (re.compile(r"\bSra\."), "señora"),
    (re.compile(r"\bSr\."), "señor"),
    (re.compile(r"\bUds\."), "ustedes"),
    (re.compile(r"\bUd\."), "usted"),
    (re.compile(r"\ba\.\s?m\.?(?![A-Za-z])"), "de la mañana"),
    (re.compile(r"\bp\.\s?m\.?(?![A-Za-z])"), "de la tarde"),
    (re.compile(r"\b24/7\b"), "veinticuatro horas, siete días"),
    (re.compile(r"\s&\s"), " y "),
)

_NUMBER = r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d+)?"
_TO = r"\s*(?:[-~–—]|\ba\b)\s*"
_CLOCK = r"(?<![\d:])([01]?\d|2[0-4]):([0-5]\d)(?::[0-5]\d)?(?![\d:])(?:\s?h\b)?"
_CODE_WORDS = (
    r"pedido|número|código|referencia|factura|tique|modelo|teléfono|llame al|extensión|seguimiento"
)


def _pattern(regex: str) -> re.Pattern[str]:
    return re.compile(regex.replace("NUMBER", _NUMBER).replace("TO", _TO))


_CURRENCY = any_of(_CURRENCIES)
_UNIT = any_of(_UNITS)

_DATE = re.compile(
    r"(?<![\d/])(3[01]|[12]\d|0?[1-9])([-/.])(1[0-2]|0?[1-9])\2((?:19|20)\d{2})(?![\d/])"
)
_CLOCK_RANGE = re.compile(_CLOCK + _TO + _CLOCK)
_CLOCK_TIME = re.compile(_CLOCK)
_MONEY_RANGE = _pattern(r"(NUMBER)\s?(?:€|\$)?TO(NUMBER)\s?(€)")
_MONEY = _pattern(rf"(-?)({_CURRENCY})\s?(-?)(NUMBER)(?!\d)")
_MONEY_AFTER = _pattern(rf"(-?)(NUMBER)\s?({_CURRENCY})(?![A-Za-z])")
_PERCENT_RANGE = _pattern(r"(NUMBER)\s?%?TO(NUMBER)\s?%")
_PERCENT = _pattern(r"(-?)(NUMBER)\s?%")
_PHONE = re.compile(
    r"(?<![\dA-Za-z])(?:\+\d{1,3}[- ]?)?(?:\d{3}[- ]\d{3}[- ]\d{3}|\d{3}[- ]\d{2}[- ]\d{2}[- ]\d{2}"
    r"|\d{2,3}[- ]\d{3,4}[- ]\d{4}|[6789]\d{8})(?!\d)"
)
_CODE_AFTER_WORD = re.compile(
    rf"\b((?:{_CODE_WORDS})(?:\s+(?:número|de pedido|es|el|es el))*[\s:#]{{1,3}})"
    r"([A-Za-z]{0,6}[-\d]{3,40})(?![\d.,]?\d)(?!\s?[%€$A-Za-z:])",
    re.IGNORECASE,
)
_SIZE = _pattern(r"(NUMBER)\s*[xX×*]\s*(?=\d)")
_RANGE = _pattern(r"(?<![\d.A-Za-z-])(NUMBER)\s*[-~–—]\s*(NUMBER)(?![\d-])")
_WITH_UNIT = _pattern(rf"(NUMBER)\s?({_UNIT})(?![A-Za-z])")
_ONE_OF = re.compile(r"(?<![\d.,])(\d*1)(?= [a-záéíóúñ])")
_ANY = _pattern(r"(?:NUMBER)(?!\d)")


def verbalize_es(text: str) -> str:
    """Figures and signs of a Spanish text as words."""
    for pattern, words in _SHORT_FORMS:
        text = pattern.sub(words, text)
    text = _CLOCK_RANGE.sub(
        lambda m: f"{_clock(m[1], m[2])} a {_clock(m[3], m[4])}{' horas' * (m[4] == '00')}", text
    )
    text = ISO_DATE.sub(lambda m: _date(m[4], m[3], m[1]), text)
    text = _DATE.sub(lambda m: _date(m[1], m[3], m[4]), text)
    text = _CLOCK_TIME.sub(lambda m: _clock(m[1], m[2]), text)
    text = _MONEY_RANGE.sub(lambda m: f"{_say(m[1])} a {_price(m[2], m[3])}", text)
    text = _MONEY.sub(lambda m: ("menos " if m[1] or m[3] else "") + _price(m[4], m[2]), text)
    text = _MONEY_AFTER.sub(lambda m: ("menos " if m[1] else "") + _price(m[2], m[3]), text)
    text = _PERCENT_RANGE.sub(lambda m: f"{_say(m[1])} a {_say(m[2])} por ciento", text)
    text = _PERCENT.sub(lambda m: f"{'menos ' if m[1] else ''}{_say(m[2])} por ciento", text)
    text = _PHONE.sub(lambda m: _dictate(m[0]), text)
    text = _CODE_AFTER_WORD.sub(lambda m: m[1] + _dictate(m[2]), text)
    text = CODE.sub(lambda m: _dictate(m[0]), text)
    text = HYPHENED.sub(lambda m: _dictate(m[0]), text)
    text = _SIZE.sub(lambda m: f"{_say(m[1])} por ", text)
    text = _RANGE.sub(lambda m: f"{m[1]} a {m[2]}", text)
    text = _WITH_UNIT.sub(_quantity, text)
    text = NEGATIVE.sub("menos ", text)
    text = _ONE_OF.sub(lambda m: _shortened(_say(m[1])), text)
    text = _ANY.sub(lambda m: _spaced(m, _say(m[0])), text)
    return text.replace("&", " y ").replace("=", " igual a ").replace("+", " más ")


def _split(number: str) -> tuple[str, str]:
    """Whole and fraction: one or two figures after the last mark are a fraction, three are not."""
    match = re.fullmatch(r"(.*)[.,](\d{1,2}|\d{4,})", number)
    whole, fraction = (match[1], match[2]) if match else (number, "")
    return re.sub(r"[.,]", "", whole) or "0", fraction


def _say(number: str) -> str:
    """Cardinal; beyond twelve digits, digit by digit."""
    whole, fraction = _split(number)
    words = _dictate(whole) if len(whole) > 12 else _cardinal(int(whole))
    if not fraction:
        return words
    zeros = "cero " * (len(fraction) - len(fraction.lstrip("0")))
    rest = fraction.lstrip("0")
    spoken = _cardinal(int(rest)) if rest and len(rest) < 4 else _dictate(rest)
    return f"{words} coma {zeros}{spoken}".rstrip()


def _cardinal(number: int) -> str:
    if number < 30:
        return ES_SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return ES_TENS[tens - 3] + (f" y {ES_SMALL[ones]}" if ones else "")
    if number == 100:
        return "cien"
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return ES_HUNDREDS[hundreds - 1] + (f" {_cardinal(rest)}" if rest else "")
    size, one, many = (1_000_000, "un millón", "millones") if number >= 10**6 else (
        1000, "mil", "mil"
    )  # fmt: skip
    count, rest = divmod(number, size)
    head = one if count == 1 else f"{_shortened(_cardinal(count))} {many}"
    return head + (f" {_cardinal(rest)}" if rest else "")


def _shortened(words: str) -> str:
    """The form before a masculine noun: un, veintiún, treinta y un."""
    if words.endswith("veintiuno"):
        return words.removesuffix("uno") + "ún"
    return words[:-1] if words.endswith("uno") else words


def _date(day: str, month: str, year: str) -> str:
    return f"{_say(str(int(day)))} de {_MONTHS[int(month) - 1]} de {_cardinal(int(year))}"


def _clock(hour: str, minute: str) -> str:
    if minute == "00":
        return _say(str(int(hour)))
    if minute == "30":
        return f"{_say(str(int(hour)))} y media"
    return f"{_say(str(int(hour)))} y {_say(str(int(minute)))}"


def _price(number: str, sign: str) -> str:
    one, many, hundredths = _CURRENCIES[sign]
    whole, fraction = _split(number)
    words = f"{_shortened(_say(whole))} {one if int(whole) == 1 else many}"
    if not int(fraction or "0"):
        return words
    if not hundredths or len(fraction) > 2:
        return f"{_say(number)} {many}"
    return f"{words} con {_shortened(_cardinal(int(fraction.ljust(2, '0'))))} {hundredths}"


def _quantity(match: re.Match[str]) -> str:
    one, many = _UNITS[match[2]]
    return f"{_shortened(_say(match[1]))} {one if match[1] == '1' else many}"


def _dictate(code: str) -> str:
    """Digit by digit, letter by letter, a pause at each gap and in long numbers."""
    parts = re.findall(r"[A-Za-z]+|\d{1,6}(?!\d)|\d{4}|\+", code)
    return ", ".join(
        "más" if part == "+" else " ".join(ES_SMALL[int(c)] if c.isdigit() else c for c in part)
        for part in parts
    )


def _spaced(match: re.Match[str], words: str) -> str:
    """``words`` set apart from letters that touch the number, as in "A4" or "5G"."""
    text = match.string
    before = " " if text[: match.start()][-1:].isalpha() else ""
    after = " " if text[match.end() :][:1].isalpha() else ""
    return before + words + after
