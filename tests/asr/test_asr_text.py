"""What is done to recognised text: script, numbers, loops, prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.asr.itn import digits_read_out
from edge_runtime.asr.prompt import initial_prompt
from edge_runtime.asr.text import is_repetitive, tidy


def test_traditional_characters_become_simplified() -> None:
    assert tidy("我想退貨，發票還在。", "zh") == "我想退货，发票还在。"


def test_other_languages_keep_their_characters() -> None:
    assert tidy("領収書をください。", "ja") == "領収書をください。"
    assert tidy("¿Puedo devolverlo?", "es") == "¿Puedo devolverlo?"


def test_text_becomes_one_line_without_control_characters() -> None:
    assert tidy(" one\n two\x00\tthree ", "en") == "one two three"


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("订单号是二零二五一一零三幺", "zh", "订单号是202511031"),
        ("6、2、2、3、4、1、0", "zh", "6223410"),
        ("一三八零零 一三八", "zh", "13800138"),
        ("order one two, three four oh five please", "en", "order 123405 please"),
        ("my code is 1, 2, 3, 4.", "en", "my code is 1234."),
        ("uno dos tres cuatro", "es", "1234"),
        ("1 2 3 4", "fr", "1234"),
    ],
)
def test_numbers_read_out_become_digits(text: str, language: str, expected: str) -> None:
    assert digits_read_out(text, language) == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("我想退一下货", "zh"),
        ("买了三百二十块", "zh"),
        ("七七八八都买齐了", "zh"),
        ("三点一四一五九", "zh"),
        ("2026-11-24", "zh"),
        ("138-1234-5678", "zh"),
        ("It costs 3.5, 4.5 or 5", "en"),
        ("one or two, maybe three", "en"),
        ("someone phoned", "en"),
        ("sixty point two four zero zero", "en"),
    ],
)
def test_other_numbers_stay_as_they_are(text: str, language: str) -> None:
    assert digits_read_out(text, language) == text


@given(st.text(alphabet="零一二三四五六七八九", min_size=4, max_size=20))
def test_every_chinese_digit_is_kept_in_order(spoken: str) -> None:
    read = digits_read_out(spoken, "zh")
    figures = "".join(str("零一二三四五六七八九".index(c)) for c in spoken)
    assert read in {figures, spoken}


@pytest.mark.parametrize(
    "text",
    [
        "打开红豆打开红豆",
        "Can I return it? Can I return it? Can I",
        "ＧＧＧＧＧＧＧＧＧ",
        "谢谢谢谢谢谢谢谢",
        "the the the the the the the the the the the the the the",
    ],
)
def test_loops_are_recognised(text: str) -> None:
    assert is_repetitive(text)


@pytest.mark.parametrize(
    "text",
    ["", "好", "no, no", "好的好的", "13800000000", "我想退货,退货要发票吗?", "ten of clubs"],
)
def test_ordinary_speech_is_not_a_loop(text: str) -> None:
    assert not is_repetitive(text)


@given(st.text(alphabet="abcdeñ退货发票", min_size=4, max_size=30), st.integers(2, 6))
def test_any_phrase_said_twice_is_a_loop(phrase: str, times: int) -> None:
    assert is_repetitive(phrase * times)


def test_the_prompt_takes_hints_in_the_script_of_the_language() -> None:
    hints = ["退货", "receipt", "发票", "退货"]
    assert initial_prompt("zh", hints).endswith("退货、发票。")
    assert initial_prompt("en", hints) == "receipt."
    assert initial_prompt("en", []) == ""


@given(st.lists(st.text(min_size=1, max_size=40), max_size=100))
def test_the_prompt_is_bounded(hints: list[str]) -> None:
    assert len(initial_prompt("zh", hints)) < 80
    assert len(initial_prompt("en", hints)) <= 201
