"""Clean-up keeps what was meant and drops what was only said."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import TextError
from edge_runtime.nlu import Normalizer, clean
from edge_runtime.nlu.dialects import to_mandarin


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("退退退货！！！", "退货!"),
        ("sooooo   slow!!!", "so slow!"),
        ("helllllo", "hello"),
        ("１２３４５\u3000订单", "12345 订单"),
        ("\u200b订\u200b单\x00\x07", "订单"),
        ("WHERE IS MY ORDER AB12345", "where is my order AB12345"),
        ("谢谢", "谢谢"),
        ("13800000000", "13800000000"),
        ("一百一十一元", "一百一十一元"),
        ("no no no no", "no"),
        ("a\u0301\u0301\u0301\u0301\u0301\u0301", "á\u0301"),
    ],
)
def test_clean_collapses_noise_but_never_digits(said: str, expected: str) -> None:
    assert clean(said) == expected


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01", "!!!", "…", "\u200b"])
def test_text_without_anything_readable_is_refused(text: str) -> None:
    with pytest.raises(TextError):
        clean(text)


def test_absurdly_long_text_is_refused() -> None:
    with pytest.raises(TextError, match="10000000"):
        clean("退" * 10_000_000)


@given(st.text(max_size=200))
def test_clean_is_stable_and_leaves_no_control_characters(text: str) -> None:
    try:
        once = clean(text)
    except TextError:
        return
    assert not any(unicodedata.category(char) == "Cc" for char in once)
    assert once == once.strip()


@pytest.mark.parametrize(
    ("language", "said", "expected"),
    [
        ("zh", "嗯,那个,我想退货", "我想退货"),
        ("zh", "那个外套我想退", "那个外套我想退"),
        ("en", "um, I want uh a refund", "I want a refund"),
        ("pt", "quero um reembolso", "quero um reembolso"),
        ("es", "este producto no funciona", "este producto no funciona"),
        ("es", "este, quiero devolver", "quiero devolver"),
        ("zh", "我要退貨", "我要退货"),
        ("zh", "嗯", "嗯"),
    ],
)
def test_fillers_go_and_words_that_look_like_them_stay(
    language: str, said: str, expected: str
) -> None:
    assert Normalizer({}).normalize(said, language) == expected


@pytest.mark.parametrize(
    ("dialect", "mandarin"),
    [
        ("我哋想买呢个", "我们想买这个"),
        ("几多钱", "多少钱"),
        ("唔该,有冇细啲嘅", "谢谢,有没有小一点的"),
        ("你系唔系卖咗", "你是不是卖了"),
        ("俺的货咋还没到", "我的货怎么还没到"),
        ("侬好,搿个几钿", "你好,这个多少钱"),
        ("这是啥", "这是什么"),
    ],
)
def test_dialect_function_words_become_mandarin(dialect: str, mandarin: str) -> None:
    assert to_mandarin(dialect) == mandarin


@pytest.mark.parametrize(
    "text",
    [
        "我要联系客服",
        "这个系统平时怎么点餐",
        "飞机上的饮料好喝",
        "请勿打扰",
        "老板在吗",
        "个人信息",
    ],
)
def test_mandarin_passes_through_unchanged(text: str) -> None:
    assert to_mandarin(text) == text


def test_pack_forms_are_replaced_longest_first_and_only_as_whole_words() -> None:
    normalizer = Normalizer({"en": (("tee", "t-shirt"), ("tee time", "tea time"))})
    assert normalizer.normalize("a Tee for tee time, not committee", "en") == (
        "a t-shirt for tea time, not committee"
    )
