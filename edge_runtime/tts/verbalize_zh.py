"""Chinese: figures and signs into characters."""

from __future__ import annotations

import re

import cn2an  # type: ignore[import-untyped]

from edge_runtime.tts.verbalize_en import LETTER_A

_DIGITS = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
# 幺 for 1 is how telephone numbers are said; in order numbers it avoids mishearing 一 as 七.
_DICTATED = {**_DIGITS, "1": "幺"}

_CURRENCIES = {
    "¥": "元", "RMB": "元", "CNY": "元", "$": "美元", "US$": "美元", "USD": "美元",
    "HK$": "港元", "€": "欧元", "EUR": "欧元", "£": "英镑",
}  # fmt: skip
_UNITS = {
    "mAh": "毫安时", "kWh": "千瓦时", "km/h": "公里每小时", "km": "公里", "kg": "公斤",
    "KG": "公斤",
    "mg": "毫克", "g": "克", "cm": "厘米", "mm": "毫米", "m²": "平方米", "㎡": "平方米", "m": "米",
    "ml": "毫升", "mL": "毫升", "ML": "毫升", "L": "升", "℃": "摄氏度", "°C": "摄氏度", "°": "度",
    "kW": "千瓦", "W": "瓦", "V": "伏", "h": "小时", "min": "分钟", "s": "秒",
    "GB": " G B ", "TB": " T B ", "MB": " M B ",
}  # fmt: skip
# Before these 2 is 两; 第2个 and 12个 keep 二.
_COUNTED = (
    "个件台双条只张本瓶包箱盒袋份杯套把支块元天年周次种位名家间层倍万千克斤公升米厘毫分小时钟款样人"
)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_TO = r"\s*(?:[-~–—]|至|到)\s*"
_CODE_WORDS = (
    "订单|单号|编号|型号|尾号|验证码|取件码|卡号|工号|会员号|货号|流水号|发票号|"
    "热线|电话|拨打|号码|致电"
)


def _pattern(regex: str) -> re.Pattern[str]:
    return re.compile(regex.replace("NUMBER", _NUMBER).replace("TO", _TO))


_CLOCK = r"(?<!\d)([01]?\d|2[0-4])[:：]([0-5]\d)(?:[:：][0-5]\d)?(?![\d:：])"
_CURRENCY = "|".join(re.escape(sign) for sign in sorted(_CURRENCIES, key=len, reverse=True))
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))

_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d{2})([-/.])(1[0-2]|0?[1-9])\2(3[01]|[12]\d|0?[1-9])(?![\d-])"
)
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d{2})(?=\s*年)")
_CLOCK_RANGE = re.compile(_CLOCK + _TO + _CLOCK)
_CLOCK_TIME = re.compile(_CLOCK)
_MONEY_RANGE = _pattern(rf"({_CURRENCY})\s*(NUMBER)TO(?:{_CURRENCY})?\s*(NUMBER)(?:\s*元)?(?!\d)")
_MONEY = _pattern(rf"(-?)\s*({_CURRENCY})\s*(-?)\s*(NUMBER)([万亿]?)(?:\s*元)?")
_MONEY_AFTER = _pattern(r"(NUMBER)\s*(€|£|USD|EUR|RMB|CNY)")
_DISCOUNT = re.compile(r"(?<![\d.])([1-9])([1-9])(?=\s*折)")
_YUAN = re.compile(r"(\d+)\.00(?=\s*元)")
_PERCENT_RANGE = _pattern(r"(NUMBER)\s*%?TO(NUMBER)\s*%")
_PERCENT = _pattern(r"(-?)(NUMBER)\s*%")
_PHONE = re.compile(
    r"(?<![\dA-Za-z])(?:\+?86[- ]?)?(?:(1[3-9]\d)[- ]?(\d{4})[- ]?(\d{4})"
    r"|([48]00)[- ]?(\d{3,4})[- ]?(\d{3,4})|\(?(0\d{2,3})\)?[- ]?(\d{3,4})[- ]?(\d{4}))(?!\d)"
)
_CODE_AFTER_WORD = re.compile(
    rf"((?:{_CODE_WORDS})(?:号码?|编号)?(?:为|是)?[\s:：#]{{0,3}})([A-Za-z]{{0,6}}[-\d]{{3,40}})"
    r"(?![\d.%元个件天年月日次号])"
)
_CODE = re.compile(r"(?<![\d.,A-Za-z])(?:[A-Za-z]{1,6}-?\d[-\d]{2,40}|\d{7,40}|0\d{1,40})(?![\d.])")
_HYPHENED = re.compile(r"(?<![\d.])\d{1,20}(?:-\d{1,20}){2,6}(?![\d.])")
_SIZE = _pattern(r"(NUMBER)\s*[xX×*]\s*(?=\d)")
_TIMES = re.compile(r"(?<![A-Za-z])[xX×]\s*(?=\d)")
_RANGE = _pattern(r"(?<![\d.A-Za-z-])(NUMBER)TO(NUMBER)(?![\d-])")
_FRACTION = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,3})(?![\d/])")
_WITH_UNIT = _pattern(rf"(NUMBER)\s*({_UNIT})(?![A-Za-z])")
_VERSION = re.compile(r"(?<![\d.])\d{1,4}(?:\.\d{1,4}){2,4}(?![\d.])")
_NEGATIVE = re.compile(r"(?<![\dA-Za-z)）-])-(?=\d)")
_ANY = _pattern(r"(第\s*)?(NUMBER)")
_LETTER_A = re.compile(r"(?<![A-Za-z])A(?![A-Za-z]|\s[a-z])")
_HAN = re.compile("[\u4e00-\u9fff]")
_BETWEEN_HAN = re.compile(r"(?<=[\u4e00-\u9fff])\s*/\s*(?=[\u4e00-\u9fff])")


def verbalize_zh(text: str) -> str:
    """Figures and signs of a Chinese text as characters; words in Latin letters stay."""
    text = _CLOCK_RANGE.sub(lambda m: f"{_clock(m[1], m[2])}到{_clock(m[3], m[4])}", text)
    text = _DATE.sub(lambda m: f"{_spell(m[1])}年{_say(m[3])}月{_say(m[4])}日", text)
    text = _YEAR.sub(lambda m: _spell(m[1]), text)
    text = _CLOCK_TIME.sub(lambda m: _clock(m[1], m[2]), text)
    text = _DISCOUNT.sub(lambda m: _spell(m[1] + m[2]), text)
    text = _YUAN.sub(r"\1", text)
    text = _MONEY_RANGE.sub(lambda m: f"{_say(m[2])}到{_say(m[3])}{_CURRENCIES[m[1]]}", text)
    text = _MONEY.sub(
        lambda m: f"{'负' if m[1] or m[3] else ''}{_price(m[4])}{m[5]}{_CURRENCIES[m[2]]}", text
    )
    text = _MONEY_AFTER.sub(lambda m: f"{_price(m[1])}{_CURRENCIES[m[2]]}", text)
    text = _PERCENT_RANGE.sub(lambda m: f"百分之{_say(m[1])}到百分之{_say(m[2])}", text)
    text = _PERCENT.sub(lambda m: f"{'负' if m[1] else ''}百分之{_say(m[2])}", text)
    text = _PHONE.sub(_phone, text)
    text = _CODE_AFTER_WORD.sub(lambda m: m[1] + _set_apart(m, _dictate(m[2])), text)
    text = _CODE.sub(lambda m: _set_apart(m, _dictate(m[0])), text)
    text = _HYPHENED.sub(lambda m: _dictate(m[0]), text)
    text = _SIZE.sub(lambda m: f"{_say(m[1])}乘", text)
    text = _TIMES.sub("乘", text)
    text = _RANGE.sub(lambda m: f"{m[1]}到{m[2]}", text)
    text = _FRACTION.sub(_fraction, text)
    text = _NEGATIVE.sub("负", text)
    text = _WITH_UNIT.sub(lambda m: f"{_count(m[1], _UNITS[m[2]])}{_UNITS[m[2]]}", text)
    text = _VERSION.sub(lambda m: "点".join(_say(part) for part in m[0].split(".")), text)
    text = _ANY.sub(lambda m: _plain(m, text), text)
    text = _LETTER_A.sub(f" {LETTER_A} ", text)
    text = _BETWEEN_HAN.sub("或", text)
    return text.replace("&", "和").replace("+", "加").replace("=", "等于")


def _say(number: str) -> str:
    """Cardinal; beyond sixteen digits, digit by digit."""
    whole, _, fraction = number.replace(",", "").partition(".")
    whole = whole.lstrip("0") or "0"
    if len(whole) > 16:
        return _dictate(whole)
    words: str = cn2an.an2cn(whole, "low")
    words = re.sub(r"(?<!十)二(?=[千万亿])|^二(?=百)", "两", words)
    return f"{words}点{_spell(fraction)}" if fraction else words


def _count(number: str, following: str) -> str:
    return "两" if number == "2" and following[:1] in _COUNTED else _say(number)


def _price(number: str) -> str:
    whole, _, fraction = number.partition(".")
    fraction = fraction.rstrip("0")
    return _count(whole, "元") if not fraction else _say(f"{whole}.{fraction}")


def _spell(digits: str) -> str:
    return "".join(_DIGITS[digit] for digit in digits)


def _dictate(code: str) -> str:
    """Digit by digit, letter by letter, a pause at each hyphen and in long numbers."""
    parts = re.findall(r"[A-Za-z]*\d{1,6}(?!\d)|[A-Za-z]*\d{4}|[A-Za-z]+", code)
    return "，".join(
        "".join(_DICTATED.get(char, f" {char} ") for char in part).strip() for part in parts
    )


def _phone(match: re.Match[str]) -> str:
    return _set_apart(match, "，".join(_dictate(part) for part in match.groups() if part))


def _set_apart(match: re.Match[str], dictated: str) -> str:
    """A pause before the words that go on after a dictated number."""
    return f"{dictated}，" if _HAN.match(match.string, match.end()) else dictated


def _clock(hour: str, minute: str) -> str:
    spoken_hour = _count(str(int(hour)), "小时")
    if minute == "00":
        return f"{spoken_hour}点"
    if minute == "30":
        return f"{spoken_hour}点半"
    return f"{spoken_hour}点{'零' if minute[0] == '0' else ''}{_say(minute)}分"


def _fraction(match: re.Match[str]) -> str:
    above, below = int(match[1]), int(match[2])
    if 0 < above < below:
        return f"{_say(match[2])}分之{_say(match[1])}"
    return f"{_say(match[1])}，{_say(match[2])}"


def _plain(match: re.Match[str], text: str) -> str:
    if match[1]:
        return f"第{_say(match[2])}"
    before, after = text[: match.start()][-1:], text[match.end() :].lstrip()
    # 2月 and 2号 are names of a day, 2 before a measure word is a count.
    return _say(match[2]) if before == "." else _count(match[2], after)
