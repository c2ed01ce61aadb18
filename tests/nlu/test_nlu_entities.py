"""Entities are found where they stand and come back normalised."""

from __future__ import annotations

import itertools
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.nlu import EntityExtractor
from edge_runtime.nlu.entities import numerals
from edge_runtime.packs.schema import Term

_TUESDAY = date(2026, 11, 24)
_TERMS = (
    Term("外套", "zh", "category", "coats"),
    Term("jacket", "en", "category", "coats"),
    Term("coffee machine", "en", "product", "P-7"),
    Term("water", "en", "product", "P-8"),
)
_EXTRACTOR = EntityExtractor(_TERMS)


def _found(text: str, language: str = "en") -> list[tuple[str, str]]:
    return [(e.type, e.value) for e in _EXTRACTOR.extract(text, language, _TUESDAY)]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("zh", "订单号12345678什么时候到", ("order_id", "12345678")),
        ("en", "where is order #1234", ("order_id", "1234")),
        ("en", "AB-1234567 please", ("order_id", "AB-1234567")),
        ("es", "mi pedido número 998877", ("order_id", "998877")),
        ("zh", "电话138 0013 8000", ("phone", "+8613800138000")),
        ("en", "call me at (415) 555-2671", ("phone", "+14155552671")),
        ("es", "mi teléfono es 612 34 56 78", ("phone", "+34612345678")),
        ("en", "write to Anna.B@Shop.example.com now", ("email", "anna.b@shop.example.com")),
        ("en", "see www.example.com/a?b=1.", ("url", "www.example.com/a?b=1")),
        ("zh", "上周五买的", ("date", "2026-11-20")),
        ("zh", "大后天来", ("date", "2026-11-27")),
        ("zh", "下个月3号", ("date", "2026-12-03")),
        ("zh", "三天前", ("date", "2026-11-21")),
        ("zh", "2026年3月5日", ("date", "2026-03-05")),
        ("en", "3 days ago", ("date", "2026-11-21")),
        ("en", "last Friday", ("date", "2026-11-20")),
        ("en", "on March 5th, 2026", ("date", "2026-03-05")),
        ("en", "by 12/25/2026", ("date", "2026-12-25")),
        ("es", "el 25/12/2026", ("date", "2026-12-25")),
        ("es", "hace dos semanas", ("date", "2026-11-10")),
        ("es", "pasado mañana", ("date", "2026-11-26")),
        ("es", "llega el lunes", ("date", "2026-11-30")),
        ("zh", "下午3点半", ("time", "15:30")),
        ("en", "at 7:05 pm", ("time", "19:05")),
        ("zh", "花了两百五十块", ("money", "250 CNY")),
        ("zh", "三块五", ("money", "3.5 CNY")),
        ("zh", "¥199", ("money", "199 CNY")),
        ("en", "$1,299.50", ("money", "1299.5 USD")),
        ("en", "twenty five dollars", ("money", "25 USD")),
        ("es", "20,50 euros", ("money", "20.5 EUR")),
        ("zh", "要三件", ("quantity", "3")),
        ("en", "a pair please", ("quantity", "1")),
        ("zh", "百分之二十", ("number", "20%")),
        ("zh", "送到上海市浦东新区世纪大道100号", ("address", "上海市浦东新区世纪大道100号")),
        ("zh", "地址改成人民路12号", ("address", "人民路12号")),
        (
            "en",
            "deliver to 221 Baker Street, London please",
            ("address", "221 Baker Street, London"),
        ),
        ("es", "envíelo a calle Mayor 12", ("address", "calle Mayor 12")),
        ("zh", "邮编是100020", ("postcode", "100020")),
        ("zh", "我叫李明,你好", ("person", "李明")),
        ("en", "my name is Anna Smith", ("person", "Anna Smith")),
        ("es", "me llamo Ana García", ("person", "Ana García")),
        ("zh", "好的", ("yes_no", "yes")),
        ("en", "no thanks", ("yes_no", "no")),
        ("zh", "这件外套", ("category", "coats")),
        ("en", "two jackets", ("category", "coats")),
        ("en", "the jaket", ("category", "coats")),
        ("en", "my cofee machine", ("product", "P-7")),
    ],
)
def test_entity_is_found_and_normalised(
    language: str, text: str, expected: tuple[str, str]
) -> None:
    assert expected in _found(text, language)


@pytest.mark.parametrize(
    ("language", "text", "kind"),
    [
        ("zh", "等一下,我们一起看一样的", "number"),
        ("zh", "这个多少钱", "quantity"),
        ("en", "what is the weather like", "product"),
        ("en", "30 February 2026", "date"),
        ("zh", "2月30日", "date"),
        ("en", "I may come on monday", "person"),
    ],
)
def test_lookalikes_are_not_entities(language: str, text: str, kind: str) -> None:
    assert kind not in [found for found, _ in _found(text, language)]


def test_the_shops_own_order_numbers_go_first() -> None:
    own = EntityExtractor(order_patterns=[r"\bBILL(\d{2})\b"])
    assert [(e.type, e.text) for e in own.extract("BILL77", "en", _TUESDAY)] == [("order_id", "77")]


@given(st.text(max_size=120), st.sampled_from(["zh", "en", "es", "ja"]))
def test_offsets_name_the_text_and_nothing_overlaps(text: str, language: str) -> None:
    found = _EXTRACTOR.extract(text, language, _TUESDAY)
    for item in found:
        assert text[item.start : item.end] == item.text
    for first, second in itertools.pairwise(found):
        assert first.end <= second.start


@pytest.mark.parametrize("text", ["1" * 2000, "a@" * 1000, "市" * 2000, "路1号" * 600, "1," * 900])
def test_hostile_text_ends_quickly_without_error(text: str) -> None:
    assert all(item.end <= 2000 for item in _EXTRACTOR.extract(text, "zh", _TUESDAY))


@given(st.integers(min_value=1, max_value=99_999_999))
def test_chinese_numerals_are_read_back(value: int) -> None:
    assert numerals.chinese(_in_chinese(value)) == value


def _in_chinese(value: int) -> str:
    digits, units = "零一二三四五六七八九", ("", "十", "百", "千")

    def section(number: int) -> str:
        out, gap = "", False
        for power in (3, 2, 1, 0):
            digit = number // 10**power % 10
            if digit:
                out += ("零" if gap and out else "") + digits[digit] + units[power]
                gap = False
            else:
                gap = True
        return out

    high, low = divmod(value, 10_000)
    text = section(high) + "万" if high else ""
    if low and high and (low < 1000):
        text += "零"
    return text + section(low)
