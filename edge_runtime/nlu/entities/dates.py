"""Dates in Chinese, English and Spanish, resolved against the day they were said.

Weeks start on Monday; "last Friday" and "上周五" are Friday of the week before. A bare weekday, day
or month is the next one to come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Final

from edge_runtime.nlu.entities import numerals
from edge_runtime.nlu.entities.base import Context, entity
from edge_runtime.turn import Entity

_Resolver = Callable[[re.Match[str], date], date | None]
_MAX_SHIFT: Final = 100_000

_ZH_DAYS: Final = {
    "大前天": -3, "前天": -2, "前日": -2, "昨天": -1, "昨日": -1, "昨晚": -1, "今天": 0, "今日": 0,
    "今早": 0, "今晚": 0, "明天": 1, "明日": 1, "明早": 1, "明晚": 1, "后天": 2, "后日": 2,
    "大后天": 3,
}  # fmt: skip
_WORD_DAYS: Final = {
    "the day before yesterday": -2, "day before yesterday": -2, "yesterday": -1, "last night": -1,
    "today": 0, "tonight": 0, "the day after tomorrow": 2, "day after tomorrow": 2, "tomorrow": 1,
    "anteayer": -2, "antes de ayer": -2, "ayer": -1, "anoche": -1, "hoy": 0, "pasado mañana": 2,
    "mañana": 1,
}  # fmt: skip
_WEEKDAYS: Final = {
    name: index
    for names in (
        "monday tuesday wednesday thursday friday saturday sunday",
        "lunes martes miércoles jueves viernes sábado domingo",
        "lunes martes miercoles jueves viernes sabado domingo",
        "mon tue wed thu fri sat sun",
    )
    for index, name in enumerate(names.split())
}
_MONTHS: Final = {
    name: index
    for names in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    )
    for index, name in enumerate(names.split(), start=1)
} | {"sept": 9}
_UNITS: Final = {
    "天": 1, "日": 1, "周": 7, "星期": 7, "礼拜": 7, "day": 1, "days": 1, "week": 7, "weeks": 7,
    "día": 1, "días": 1, "dia": 1, "dias": 1, "semana": 7, "semanas": 7,
    "个月": 30, "月": 30, "month": 30, "months": 30, "mes": 30, "meses": 30,
    "年": 365, "year": 365, "years": 365, "año": 365, "años": 365,
}  # fmt: skip


def _names(words: object) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))  # type: ignore[call-overload]


_ZH_NUMBER: Final = r"\d{1,4}|[零〇一二两三四五六七八九十]{1,4}"
_WEEKDAY: Final = _names(_WEEKDAYS)
_MONTH: Final = _names(_MONTHS)
_COUNT: Final = rf"\d{{1,4}}|an?|one|un|una|couple of|a couple of|few|a few|{numerals.WORDS}"


def find(text: str, context: Context) -> Iterator[Entity]:
    """Dates as ISO 8601; impossible ones (31 February) are left out."""
    for pattern, resolve in _RULES:
        for match in pattern.finditer(text):
            try:
                found = resolve(match, context.today)
            except (ValueError, OverflowError):
                continue
            if found is not None:
                yield entity("date", found.isoformat(), text, *match.span())
    for match in _NUMERIC.finditer(text):
        found = _numeric(match, context)
        if found is not None:
            yield entity("date", found.isoformat(), text, *match.span())


def _number(text: str) -> int:
    known = {"a": 1, "an": 1, "couple of": 2, "a couple of": 2, "few": 3, "a few": 3}
    if text.casefold() in known:
        return known[text.casefold()]
    value = numerals.decimal(text)
    if value is None:
        raise ValueError(text)
    return int(value)


def _shift(today: date, count: int, unit: str) -> date:
    if count > _MAX_SHIFT:
        raise ValueError(count)
    days = _UNITS[unit.casefold()]
    if days < 30 and days > -30:
        return today + timedelta(days=count * days)
    months = count * (1 if days == 30 else 12)
    return _month_shift(today, months)


def _month_shift(today: date, months: int) -> date:
    year, month = divmod(today.year * 12 + today.month - 1 + months, 12)
    # The day before the month after: 31 January plus a month is the end of February.
    following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
    last = (following - timedelta(days=1)).day
    return date(year, month + 1, min(today.day, last))


def _week(today: date, weeks: int, weekday: int) -> date:
    return today - timedelta(days=today.weekday()) + timedelta(days=7 * weeks + weekday)


def _coming(today: date, weekday: int) -> date:
    return today + timedelta(days=(weekday - today.weekday()) % 7)


def _dated(today: date, year: int | None, month: int, day: int) -> date:
    if year is not None:
        return date(year + 2000 if year < 100 else year, month, day)
    found = date(today.year, month, day)
    # A parcel ordered "on 3 May" lies in this year; only dates long past mean the next one.
    return found if (today - found).days < 183 else date(today.year + 1, month, day)


def _zh_weekday(match: re.Match[str], today: date) -> date | None:
    which, name = match["which"] or "", match["name"]
    weekday = 6 if name in "日天" else "一二三四五六".index(name)
    if not which:
        return _coming(today, weekday)
    weeks = {"上": -1, "下": 1}.get(which[0], 0) * which.count(which[0])
    return _week(today, weeks, weekday)


def _zh_dated(match: re.Match[str], today: date) -> date | None:
    year = match["year"]
    relative = {"前年": -2, "去年": -1, "今年": 0, "明年": 1, "后年": 2}
    known = today.year + relative[year] if year in relative else None
    if year and known is None:
        known = _number(year.rstrip("年"))
    return _dated(today, known, _number(match["month"]), _number(match["day"]))


def _zh_month_day(match: re.Match[str], today: date) -> date | None:
    which = match["which"]
    months = {"上": -1, "下": 1}.get(which[0], 0) * which.count(which[0])
    first = _month_shift(today.replace(day=1), months)
    return first.replace(day=_number(match["day"]))


def _day_only(match: re.Match[str], today: date) -> date | None:
    day = _number(match["day"])
    first = today.replace(day=1) if day >= today.day else _month_shift(today.replace(day=1), 1)
    return first.replace(day=day)


def _weekday_word(match: re.Match[str], today: date) -> date | None:
    weekday = _WEEKDAYS[match["name"].casefold()]
    words = f"{match['before'] or ''} {match['after'] or ''}".casefold().split()
    if {"last", "past", "previous", "pasado"} & set(words):
        return _week(today, -1, weekday)
    if {"next", "próximo", "siguiente"} & set(words) or "que viene" in " ".join(words):
        return _week(today, 1, weekday)
    if "this" in words or "este" in words:
        return _week(today, 0, weekday)
    return _coming(today, weekday)


def _month_word(match: re.Match[str], today: date) -> date | None:
    year = match["year"]
    return _dated(
        today, int(year) if year else None, _MONTHS[match["month"].casefold()], int(match["day"])
    )


def _numeric(match: re.Match[str], context: Context) -> date | None:
    first, second, third = (int(part) for part in match.groups()[:3])
    orders = [(first, second, third)]
    if len(match[1]) != 4:
        month_first = (third, first, second)
        day_first = (third, second, first)
        american = context.language == "en"
        orders = [month_first, day_first] if american else [day_first, month_first]
    for year, month, day in orders:
        try:
            return date(year + 2000 if year < 100 else year, month, day)
        except ValueError:
            continue
    return None


def _rule(pattern: str, resolve: _Resolver) -> tuple[re.Pattern[str], _Resolver]:
    return re.compile(pattern, re.IGNORECASE), resolve


_NUMERIC: Final = re.compile(
    r"(?<![\w/.-])(\d{4}|\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})(?![\w/-]|\.\d)"
)
_RULES: Final = (
    _rule(_names(_ZH_DAYS), lambda m, today: today + timedelta(days=_ZH_DAYS[m[0]])),
    _rule(
        rf"(?<!\w)(?<!la )(?:{_names(_WORD_DAYS)})(?!\w)(?! por la)",
        lambda m, today: today + timedelta(days=_WORD_DAYS[m[0].casefold()]),
    ),
    _rule(
        r"(?P<which>上上个?|下下个?|上个?|下个?|这个?|本)?(?:周|星期|礼拜)(?P<name>[一二三四五六日天])(?!个|天)",
        _zh_weekday,
    ),
    _rule(
        rf"(?P<year>(?:\d{{2,4}}|[零〇一二三四五六七八九]{{2,4}})年|前年|去年|今年|明年|后年)?的?"
        rf"(?P<month>{_ZH_NUMBER})月(?:份)?的?(?P<day>{_ZH_NUMBER})(?:日|号)",
        _zh_dated,
    ),
    _rule(
        rf"(?P<which>上上个?|下下个?|上个?|下个?|这个?|本)月的?(?P<day>{_ZH_NUMBER})(?:日|号)?(?![个件天])",
        _zh_month_day,
    ),
    _rule(
        r"(?<!\w)(?:the |el día )(?P<day>\d{1,2})(?:st|nd|rd|th)?(?!\w)(?! (?:of|de) |[.,:/]\d)",
        _day_only,
    ),
    _rule(
        rf"(?<![\d月年第零〇一二两三四五六七八九十单门])(?P<day>{_ZH_NUMBER})号(?![楼店线院门码机单])",
        _day_only,
    ),
    _rule(
        rf"(?P<count>{_ZH_NUMBER})(?P<unit>天|日|个?星期|个?礼拜|周|个月|年)(?P<way>之前|以前|前|之后|以后|后)",
        lambda m, today: _shift(
            today,
            _number(m["count"]) * (-1 if "前" in m["way"] else 1),
            m["unit"] if m["unit"] == "个月" else m["unit"].removeprefix("个"),
        ),
    ),
    _rule(
        rf"(?<!\w)(?P<count>{_COUNT}) (?P<unit>days?|weeks?|months?|years?) "
        r"(?P<way>ago|from now|later)(?!\w)",
        lambda m, today: _shift(
            today, _number(m["count"]) * (-1 if m["way"].casefold() == "ago" else 1), m["unit"]
        ),
    ),
    _rule(
        rf"(?<!\w)(?P<way>in|hace|dentro de|en) (?P<count>{_COUNT}) "
        r"(?P<unit>days?|weeks?|months?|years?|d[ií]as?|semanas?|mes(?:es)?|años?)(?!\w)",
        lambda m, today: _shift(
            today, _number(m["count"]) * (-1 if m["way"].casefold() == "hace" else 1), m["unit"]
        ),
    ),
    _rule(
        rf"(?<!\w)(?:(?P<before>last|past|previous|next|this|este|próximo|pasado) )?"
        rf"(?P<name>{_WEEKDAY})(?: (?P<after>pasado|próximo|siguiente|que viene))?(?!\w)"
        r"(?<!\bsat)(?<!\bsun)",
        _weekday_word,
    ),
    _rule(
        rf"(?<!\w)(?P<month>{_MONTH})\.? (?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?"
        r"(?:,? (?P<year>\d{4})(?![-/]))?(?!\w)",
        _month_word,
    ),
    _rule(
        rf"(?<!\w)(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of| de)? (?P<month>{_MONTH})\.?"
        rf"(?:(?:,| de| del)? (?P<year>\d{{4}}))?(?!\w)",
        _month_word,
    ),
)
