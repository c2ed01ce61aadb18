"""English: figures and signs into words."""

from __future__ import annotations

import re

from edge_runtime.numberwords import EN_SMALL, EN_TENS
from edge_runtime.tts.signs import CODE, HYPHENED, ISO_DATE, NEGATIVE, any_of

_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"))
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent"), "US$": ("dollar", "dollars", "cent"),
    "USD": ("dollar", "dollars", "cent"), "€": ("euro", "euros", "cent"),
    "EUR": ("euro", "euros", "cent"), "£": ("pound", "pounds", "penny"),
    "GBP": ("pound", "pounds", "penny"), "¥": ("yuan", "yuan", ""), "RMB": ("yuan", "yuan", ""),
    "CNY": ("yuan", "yuan", ""),
}  # fmt: skip
_UNITS = {
    "mAh": ("milliamp hour", "milliamp hours"), "kWh": ("kilowatt hour", "kilowatt hours"),
    "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"), "g": ("gram", "grams"),
    "km/h": ("kilometer an hour", "kilometers an hour"), "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "m²": ("square meter", "square meters"), "m": ("meter", "meters"),
    "ml": ("milliliter", "milliliters"), "mL": ("milliliter", "milliliters"),
    "L": ("liter", "liters"), "l": ("liter", "liters"), "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "ft": ("foot", "feet"),
    "°C": ("degree Celsius", "degrees Celsius"), "℃": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"), "°": ("degree", "degrees"),
    "kW": ("kilowatt", "kilowatts"), "W": ("watt", "watts"), "V": ("volt", "volts"),
    "h": ("hour", "hours"), "hrs": ("hour", "hours"), "min": ("minute", "minutes"),
    "s": ("second", "seconds"), "GB": ("gigabyte", "gigabytes"), "TB": ("terabyte", "terabytes"),
    "MB": ("megabyte", "megabytes"),
}  # fmt: skip
LETTER_A = "eigh"
"""What makes espeak-ng say the letter; a lone A is read as the article."""

_SHORT_FORMS = (
    (re.compile(r"\be\.g\.,?", re.IGNORECASE), "for example"),
    (re.compile(r"\bi\.e\.,?", re.IGNORECASE), "that is"),
    (re.compile(r"\betc\."), "et cetera"),
    (re.compile(r"\bapprox\."), "approximately"),
    (re.compile(r"\bvs\.?(?=\s)"), "versus"),
    (re.compile(r"\b(?:No|Nr)\.\s*(?=\d)|#\s?(?=\d)"), "number "),
    (re.compile(r"\bmax\."), "maximum"),
    (re.compile(r"\bmin\.(?=\s)"), "minimum"),
    (re.compile(r"\bw/o\b"), "without"),
    (re.compile(r"\s&\s"), " and "),
    (re.compile(r"\b24/7\b"), "twenty-four seven"),
)

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_TO = r"\s*(?:[-~–—]|\bto\b)\s*"
_HALF = r"\s*([AaPp])\.?[Mm]\b\.?"
_CLOCK = r"(?<![\d:])([01]?\d|2[0-4]):([0-5]\d)(?::[0-5]\d)?(?![\d:])"
_CODE_WORDS = r"order|number|no|code|sku|tracking|ticket|receipt|invoice|model|id|extension|call"


def _pattern(regex: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(regex.replace("NUMBER", _NUMBER).replace("TO", _TO), flags)


_CURRENCY = any_of(_CURRENCIES)
_UNIT = any_of(_UNITS)

_MONTH_NAMES = "|".join([*_MONTHS, *(rf"{month[:3]}\.?" for month in _MONTHS)])
_MONTH_YEAR = re.compile(
    rf"\b({_MONTH_NAMES})\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+((?:19|20)\d{{2}}))?\b(?!:)"
)
_IN_YEAR = re.compile(r"\b(in|since|until|from|by|of)\s+((?:19|20)\d{2})\b(?![.,:/-]?\d)")
_CLOCK_RANGE = re.compile(f"{_CLOCK}(?:{_HALF})?{_TO}{_CLOCK}(?:{_HALF})?")
_CLOCK_TIME = re.compile(f"{_CLOCK}(?:{_HALF})?")
_HOUR_HALF = re.compile(rf"(?<![\d.:])(1[0-2]|0?[1-9]){_HALF}")
_MONEY_RANGE = _pattern(rf"({_CURRENCY})\s?(NUMBER)TO(?:{_CURRENCY})?\s?(NUMBER)(?!\d)")
_MONEY = _pattern(rf"(-?)({_CURRENCY})\s?(-?)(NUMBER)(?!\d)")
_MONEY_AFTER = _pattern(rf"(NUMBER)\s?({_CURRENCY})(?![A-Za-z])")
_PERCENT_RANGE = _pattern(r"(NUMBER)\s?%?TO(NUMBER)\s?%")
_PERCENT = _pattern(r"(-?)(NUMBER)\s?%")
_PHONE = re.compile(
    r"(?<![\dA-Za-z])(\+\d{1,3}[- ]?)?(\(?\d{3}\)?[- ]\d{3}[- ]\d{4}|\d{3}[- ]\d{4}[- ]\d{4})(?!\d)"
    r"|(?<![\dA-Za-z])(\+\d{7,15})(?!\d)"
)
_CODE_AFTER_WORD = re.compile(
    rf"\b((?:{_CODE_WORDS})(?:\s+(?:number|no\.?|code|id|is))*[\s:#]{{1,3}})"
    r"([A-Za-z]{0,6}[-\d]{3,40})(?![\d.%$€£¥:A-Za-z])(?!\s+(?:days|hours|items|or|more))",
    re.IGNORECASE,
)
_SIZE = _pattern(r"(NUMBER)\s*[xX×*]\s*(?=\d)")
_RANGE = _pattern(r"(?<![\d.A-Za-z-])(NUMBER)\s*[-~–—]\s*(NUMBER)(?![\d-])")
_FRACTION = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,3})(?![\d/])")
_WITH_UNIT = _pattern(rf"(NUMBER)\s?({_UNIT})(?![A-Za-z])")
_ORDINAL = re.compile(r"\b(\d{1,4})(?:st|nd|rd|th)\b")
_VERSION = re.compile(r"(?<![\d.])\d{1,4}(?:\.\d{1,4}){2,4}(?![\d.])")
_LETTER_A = re.compile(r"(?<![A-Za-z0-9])A(?=\d)")
_ANY = _pattern(r"(?:NUMBER)(?!\d)")


def verbalize_en(text: str) -> str:
    """Figures and signs of an English text as words."""
    for pattern, words in _SHORT_FORMS:
        text = pattern.sub(words, text)
    text = _CLOCK_RANGE.sub(_clock_range, text)
    text = ISO_DATE.sub(lambda m: _date(m[1], int(m[3]), int(m[4])), text)
    text = _MONTH_YEAR.sub(lambda m: _date(m[3] or "", _month(m[1]), int(m[2])), text)
    text = _IN_YEAR.sub(lambda m: f"{m[1]} {_year(m[2])}", text)
    text = _CLOCK_TIME.sub(lambda m: _clock(m[1], m[2], m[3] or ""), text)
    text = _HOUR_HALF.sub(lambda m: f"{_say(str(int(m[1])))} {m[2].upper()}M", text)
    text = _MONEY_RANGE.sub(lambda m: f"{_say(m[2])} to {_price(m[3], m[1])}", text)
    text = _MONEY.sub(lambda m: ("minus " if m[1] or m[3] else "") + _price(m[4], m[2]), text)
    text = _MONEY_AFTER.sub(lambda m: _price(m[1], m[2]), text)
    text = _PERCENT_RANGE.sub(lambda m: f"{_say(m[1])} to {_say(m[2])} percent", text)
    text = _PERCENT.sub(lambda m: f"{'minus ' if m[1] else ''}{_say(m[2])} percent", text)
    text = _PHONE.sub(lambda m: _dictate(m[0]), text)
    text = _CODE_AFTER_WORD.sub(lambda m: m[1] + _dictate(m[2]), text)
    text = CODE.sub(lambda m: _dictate(m[0]), text)
    text = HYPHENED.sub(lambda m: _dictate(m[0]), text)
    text = _SIZE.sub(lambda m: f"{_say(m[1])} by ", text)
    text = _RANGE.sub(lambda m: f"{m[1]} to {m[2]}", text)
    text = _FRACTION.sub(_fraction, text)
    text = _WITH_UNIT.sub(lambda m: f"{_say(m[1])} {_UNITS[m[2]][m[1] != '1']}", text)
    text = _ORDINAL.sub(lambda m: _ordinal(int(m[1])), text)
    text = _VERSION.sub(lambda m: " point ".join(_say(part) for part in m[0].split(".")), text)
    text = NEGATIVE.sub("minus ", text)
    text = _LETTER_A.sub(LETTER_A, text)
    text = _ANY.sub(lambda m: _spaced(m, _say(m[0])), text)
    text = text.replace("&", " and ").replace("=", " equals ").replace("+", " plus ")
    return re.sub(r"(?<=[A-Za-z])/(?=[A-Za-z])", " or ", text)


def _say(number: str) -> str:
    """Cardinal; beyond fifteen digits, digit by digit."""
    whole, _, fraction = number.replace(",", "").partition(".")
    words = _dictate(whole) if len(whole) > 15 else _cardinal(int(whole))
    if fraction:
        words += " point " + " ".join(EN_SMALL[int(digit)] for digit in fraction)
    return words


def _cardinal(number: int) -> str:
    if number < 20:
        return EN_SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return EN_TENS[tens - 2] + (f"-{EN_SMALL[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{EN_SMALL[hundreds]} hundred" + (f" {_cardinal(rest)}" if rest else "")
    size, name = next(scale for scale in _SCALES if number >= scale[0])
    count, rest = divmod(number, size)
    return f"{_cardinal(count)} {name}" + (f" {_cardinal(rest)}" if rest else "")


def _ordinal(number: int) -> str:
    head, separator, last = re.match(r"(.*?)([ -]?)([a-z]+)$", _cardinal(number)).groups()  # type: ignore[union-attr]
    stem = last[:-1] + "ie" if last.endswith("y") else last
    return head + separator + _ORDINALS.get(last, f"{stem}th")


def _year(digits: str) -> str:
    century, rest = int(digits[:2]), int(digits[2:])
    if rest == 0 and century % 10:
        return f"{_cardinal(century)} hundred"
    if digits[1:3] == "00":
        return _cardinal(int(digits))
    return f"{_cardinal(century)} {'oh ' if rest < 10 else ''}{_cardinal(rest)}"


def _date(year: str, month: int, day: int) -> str:
    return f"{_MONTHS[month - 1]} {_ordinal(day)}" + (f", {_year(year)}" if year else "")


def _month(name: str) -> int:
    return next(i for i, month in enumerate(_MONTHS, 1) if month[:3] == name[:3])


def _clock(hour: str, minute: str, half: str) -> str:
    number = int(hour)
    half = half.upper() or ("P" if 12 < number < 24 else "")
    words = _cardinal(number - 12 if number > 12 else number or 12)
    if minute != "00":
        words += f" {'oh ' if minute[0] == '0' else ''}{_cardinal(int(minute))}"
    elif not half:
        words += " o'clock"
    return f"{words} {half}M" if half else words


def _clock_range(match: re.Match[str]) -> str:
    opening, closing = match[3] or "", match[6] or ""
    if not opening and (int(match[4]) > 12 or closing) and int(match[1]) < 12:
        opening = "A" if int(match[4]) > 12 or closing.upper() == "P" else closing
    return f"{_clock(match[1], match[2], opening)} to {_clock(match[4], match[5], closing)}"


def _price(number: str, sign: str) -> str:
    one, many, hundredth = _CURRENCIES[sign]
    whole, _, fraction = number.replace(",", "").partition(".")
    if not int(fraction or "0"):
        return f"{_say(whole)} {one if whole == '1' else many}"
    if not hundredth or len(fraction) > 2:
        return f"{_say(number)} {many}"
    cents = int(fraction.ljust(2, "0"))
    plural = "pence" if hundredth == "penny" else f"{hundredth}s"
    small = f"{_cardinal(cents)} {hundredth if cents == 1 else plural}"
    return f"{_say(whole)} {one if whole == '1' else many} and {small}" if int(whole) else small


def _dictate(code: str) -> str:
    """Digit by digit, letter by letter, a pause at each gap and in long numbers."""
    parts = re.findall(r"[A-Za-z]+|\d{1,6}(?!\d)|\d{4}|\+", code)
    return ", ".join(
        "plus" if part == "+" else " ".join(_character(char) for char in part) for part in parts
    )


def _character(char: str) -> str:
    if char.isdigit():
        return EN_SMALL[int(char)]
    return LETTER_A if char in "Aa" else char


def _fraction(match: re.Match[str]) -> str:
    if match[0] == "1/2":
        return "one half"
    return f"{_say(match[1])} over {_say(match[2])}"


def _spaced(match: re.Match[str], words: str) -> str:
    """``words`` set apart from letters that touch the number, as in "iPhone15" or "5G"."""
    text = match.string
    before = " " if text[: match.start()][-1:].isalpha() else ""
    after = " " if text[match.end() :][:1].isalpha() else ""
    return before + words + after
