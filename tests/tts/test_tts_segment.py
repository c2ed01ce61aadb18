"""Streaming segmentation of replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.tts import SpeechSegmenter
from edge_runtime.tts.segment import MAX_SEGMENT


def segments(text: str, step: int = 1) -> list[str]:
    segmenter = SpeechSegmenter()
    found = []
    for start in range(0, len(text), step):
        found += segmenter.feed(text[start : start + step])
    return found + segmenter.finish()


def squeezed(text: str) -> str:
    return "".join(text.split())


REPLY = st.text(
    alphabet=st.sampled_from("好退货一二，。！？；：、…abcDE 125.:,!?;\n\"'”)€¥-/@#"), max_size=600
)


@given(REPLY, st.integers(1, 80))
def test_joined_segments_are_the_reply_apart_from_white_space(text: str, step: int) -> None:
    assert squeezed("".join(segments(text, step))) == squeezed(text)


@given(st.text(max_size=2000), st.integers(1, 500))
def test_any_text_comes_back_in_bounded_pieces_none_of_them_blank(text: str, step: int) -> None:
    found = segments(text, step)
    assert squeezed("".join(found)) == squeezed(text)
    assert all(segment.strip() and len(segment) <= MAX_SEGMENT for segment in found)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("您好，您上周买的外套，可以在七天内退货。请带上小票。", "您好，您上周买的外套，"),
        ("Hello there my friend, you can return it.", "Hello there my friend,"),
        ("可以，七天内都能退。", "可以，七天内都能退。"),
    ],
)
def test_first_segment_ends_at_an_early_clause_of_some_length(text: str, first: str) -> None:
    assert segments(text)[0] == first


def test_first_segment_comes_before_the_sentence_is_over() -> None:
    segmenter = SpeechSegmenter()
    assert segmenter.feed("您上周买的外套不合适，可以") == ["您上周买的外套不合适，"]


def test_later_segments_are_whole_sentences() -> None:
    reply = "好的，没有问题，我来帮您。食品，一经售出，不能退换。请问，还有别的事吗？"
    assert segments(reply)[1:] == [
        "我来帮您。",
        "食品，一经售出，不能退换。",
        "请问，还有别的事吗？",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "It costs $3.50 or 1,299.00 for two.",
        "See No. 5 of the list.",
        "Bring proof, e.g. a receipt.",
        "Visit https://a.example/b?c=1.2,3 today.",
        "Dr. Wu opens at 9:00 a.m. every day.",
        "El Sr. López abre a las 9:00.",
        "价格是3.5元，早上9：00开门。",
    ],
)
def test_numbers_times_addresses_and_abbreviations_stay_whole(sentence: str) -> None:
    assert segments(f"Yes. {sentence}")[1:] == [sentence]


def test_a_long_sentence_is_cut_at_a_clause() -> None:
    clause = "我们会在收到退回的商品并检查完好之后为您办理退款"
    found = segments(f"好的。{clause}，{clause}，{clause}。")
    assert found == ["好的。", f"{clause}，{clause}，", f"{clause}。"]


def test_finish_makes_the_segmenter_ready_for_the_next_reply() -> None:
    segmenter = SpeechSegmenter()
    segmenter.feed("第一句话。还有")
    assert segmenter.finish() == ["还有"]
    assert segmenter.finish() == []
    assert segmenter.feed("您上周买的外套，") == ["您上周买的外套，"]
