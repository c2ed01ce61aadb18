"""Figures and signs, as they are said."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.tts.verbalize import verbalize

ZH = {
    "2026-11-24": "二零二六年十一月二十四日",
    "2024年12月1日": "二零二四年十二月一日",
    "9:00-22:00": "九点到二十二点",
    "2:05": "两点零五分",
    "10：30": "十点半",
    "¥199.00": "一百九十九元",
    "￥1,299.90": "一千二百九十九点九元",
    "¥199-299元": "一百九十九到两百九十九元",
    "199.00元": "一百九十九元",
    "$20": "二十美元",
    "-¥20": "负二十元",
    "15%": "百分之十五",
    "5%-10%": "百分之五到百分之十",
    "85折": "八五折",
    "8.5折": "八点五折",
    "3-5天": "三到五天",
    "2个": "两个",
    "第2个": "第二个",
    "2月2号": "二月二号",
    "12万": "十二万",
    "2000": "两千",
    "订单20241124001已发": "订单二零二四，幺幺二四，零零幺，已发",
    "订单号：8823": "订单号：八八二三",
    "13800138000": "幺三八，零零幺三，八零零零",
    "400-820-8820": "四零零，八二零，八八二零",
    "010-62345678": "零幺零，六二三四，五六七八",
    "尾号0042": "尾号零零四二",
    "2.5kg": "二点五公斤",
    "-18℃": "负十八摄氏度",
    "10x20cm": "十乘二十厘米",
    "1/2": "二分之一",
    "版本1.2.3": "版本一点二点三",
    "退/换货": "退或换货",
    "Ａ４纸": "eigh 四纸",
    "iPhone 15": "iPhone 十五",
    "https://shop.example.com/a?b=1": "shop 点 example 点 com",
    "help@shop.com": "help 艾特 shop 点 com",
}
EN = {
    "2026-11-24": "November twenty-fourth, twenty twenty-six",
    "Nov. 3, 2005": "November third, two thousand five",
    "9:00-22:00": "nine AM to ten PM",
    "9:05 am": "nine oh five AM",
    "8 p.m. sharp": "eight PM sharp",
    "$1,299.50": "one thousand two hundred ninety-nine dollars and fifty cents",
    "$0.99": "ninety-nine cents",
    "£1": "one pound",
    "¥199.00": "one hundred ninety-nine yuan",
    "20 €": "twenty euros",
    "15%": "fifteen percent",
    "3-5 days": "three to five days",
    "order 20241124001": ("order two zero two four, one one two four, zero zero one"),
    "RT-2024-0001": "R T, two zero two four, zero zero zero one",
    "555-201-7788": "five five five, two zero one, seven seven eight eight",
    "No. 5": "number five",
    "2.5 kg": "two point five kilograms",
    "1 kg": "one kilogram",
    "10 x 20 cm": "ten by twenty centimeters",
    "the 1st and 22nd": "the first and twenty-second",
    "A4 and 5G": "eigh four and five G",
    "e.g. bread": "for example bread",
    "cash and/or card": "cash and or or card",
    "1,000,000": "one million",
    "007": "zero zero seven",
}
ES = {
    "24/11/2026": "veinticuatro de noviembre de dos mil veintiséis",
    "2026-11-24": "veinticuatro de noviembre de dos mil veintiséis",
    "de 9:00 a 22:00": "de nueve a veintidós horas",
    "a las 9:30": "a las nueve y media",
    "1.299,50 €": "mil doscientos noventa y nueve euros con cincuenta céntimos",
    "$20.00": "veinte dólares",
    "21 €": "veintiún euros",
    "15%": "quince por ciento",
    "5-10 días": "cinco a diez días",
    "31 días": "treinta y un días",
    "2,5 kg": "dos coma cinco kilos",
    "900 123 456": "nueve cero cero, uno dos tres, cuatro cinco seis",
    "N.º 5": "número cinco",
    "100 puntos": "cien puntos",
    "1.000.000": "un millón",
}


@pytest.mark.parametrize(
    ("language", "shown", "said"),
    [
        (language, shown, said)
        for language, table in {"zh": ZH, "en": EN, "es": ES}.items()
        for shown, said in table.items()
    ],
)
def test_figures_are_said_as_a_person_would(language: str, shown: str, said: str) -> None:
    assert verbalize(shown, language) == said


@pytest.mark.parametrize(
    "text", ["", "  \n\t", "😀🎉", "**", "……", "| --- |", "👍🏽 ❤️", "\x00\x1b"]
)
@pytest.mark.parametrize("language", ["zh", "en", "es", "de"])
def test_nothing_to_say_gives_nothing(text: str, language: str) -> None:
    assert verbalize(text, language) == ""


def test_markdown_and_emoji_are_not_spoken() -> None:
    text = "# Returns 😀\n- **Coats**: see [the policy](https://a.example/p)\n- `Bread`: no"
    assert verbalize(text, "en") == "Returns. Coats: see the policy. Bread: no"


@given(st.text(alphabet=st.sampled_from("0123456789.,:-/%¥$€ 年月日元号AxkgC℃第+#~"), max_size=80))
def test_no_figure_is_left_unsaid(text: str) -> None:
    for language in ("zh", "en", "es"):
        assert not re.search("[0-9]", verbalize(text, language))


@given(st.text(max_size=300), st.sampled_from(["zh", "en", "es", "fr", "hi"]))
def test_any_text_is_accepted(text: str, language: str) -> None:
    said = verbalize(text, language)
    assert not said or any(char.isalnum() for char in said)
