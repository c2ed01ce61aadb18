"""Sensitive words and compliance phrases on the stream."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.guard import Guard
from edge_runtime.guard.fold import MASK, MAX_GAP
from edge_runtime.guard.matcher import Matcher, MatchStream, Pattern, harmful
from edge_runtime.packs.schema import ComplianceRule, Lexicon, SensitiveWord

LEXICON = Lexicon(
    colloquial={},
    terms=(),
    sensitive=(
        SensitiveWord("坏词", "zh", "profanity", allow=("不坏词典",)),
        SensitiveWord("badword", "en", "profanity"),
        SensitiveWord("禁品", "zh", "illegal"),
    ),
    compliance=(
        ComplianceRule("absolute", "zh", ("全网最低价", "最低价"), "replace", "优惠价"),
        ComplianceRule("cure", "en", ("cures every disease",), "block"),
    ),
    hints={},
)


@pytest.fixture(scope="module")
def guard() -> Guard:
    return Guard(LEXICON)


def say(guard: Guard, text: str) -> tuple[str, tuple[str, ...], bool]:
    stream = guard.open(language="zh", allowed=(), evidence=None)
    released = "".join(stream.feed(char) for char in text) + stream.finish()
    return released, stream.blocked, stream.stopped


@pytest.mark.parametrize(
    "disguised",
    [
        "坏词",
        "坏 词",
        "坏*词",
        "坏\u200b词",
        "坏😀词",
        "壞詞",
        "坏-_-词",
        "badword",
        "BadWord",
        "ｂａｄｗｏｒｄ",
        "b a d w o r d",
        "b.a.d.w.o.r.d",
        "b\u200badword",
        "bаdwоrd",
        "βadword",
        "b4dword",
        "b@dword",
        "bádwörd",
        "𝐛𝐚𝐝𝐰𝐨𝐫𝐝",
    ],
)
def test_disguised_words_are_masked(guard: Guard, disguised: str) -> None:
    released, blocked, stopped = say(guard, f"这是 {disguised}。")
    assert released.startswith("这是 " + MASK)
    assert released.endswith(MASK + "。")
    assert blocked == ("sensitive:profanity",)
    assert not stopped


@pytest.mark.parametrize(
    "harmless",
    [
        "不坏词典",
        "badwords",
        "abadword",
        "坏。词",
        "bad word",
        "坏      词",
        "The class will pass; he'll push it.",
        "c l a s s",
        "Samsung A55 and A-S-5",
        "我要买几把椅子",
        "Comí un cono este año.",
        "做体操你会吗",
        "The pen is in the shop.",
    ],
)
def test_ordinary_text_is_left_alone(guard: Guard, harmless: str) -> None:
    assert say(guard, harmless) == (harmless, (), False)


def test_a_word_of_a_blocking_category_stops_the_reply(guard: Guard) -> None:
    assert say(guard, "好的，卖禁品给您") == ("好的，卖", ("sensitive:illegal",), True)


def test_compliance_phrases_are_replaced_or_stop_the_reply(guard: Guard) -> None:
    assert say(guard, "这是全网最低价！") == ("这是优惠价！", ("absolute",), False)
    assert say(guard, "最 低 价") == ("优惠价", ("absolute",), False)
    assert say(guard, "It cures every disease.") == ("It ", ("cure",), True)


@pytest.mark.parametrize(
    ("said", "categories"),
    [
        ("你们这帮傻 逼", ("profanity",)),
        ("what the fück, selling pornography", ("profanity", "sexual")),
        ("hijo de puta", ("profanity",)),
        ("Arschloch", ("profanity",)),
        ("我想退货", ()),
        ("", ()),
    ],
)
def test_what_customers_say_is_categorised(
    guard: Guard, said: str, categories: tuple[str, ...]
) -> None:
    assert guard.check_input(said) == categories


def test_words_stream_on_without_waiting_for_the_end(guard: Guard) -> None:
    stream = guard.open(language="zh", allowed=(), evidence=None)
    assert stream.feed("您好，") == "您好，"


WORDS = ("abc", "cde", "坏词", "词坏坏", "ab cd")
MATCHER = Matcher(
    [
        *(Pattern(word, "word", "mask") for word in WORDS),
        Pattern("xabcx", "", "allow"),
        Pattern("不坏词", "", "allow"),
        Pattern("edb", "rule", "replace", "…"),
        Pattern("停", "stop", "block"),
    ]
)
TEXTS = st.text(alphabet="abcdex 坏词不停.*\u200b，A4ｂ" + MASK, max_size=40)


def stream_through(pieces: list[str]) -> tuple[str, tuple[str, ...], bool]:
    stream = MatchStream(MATCHER)
    released = "".join(map(stream.feed, pieces)) + stream.finish()
    return released, stream.fired, stream.stopped


@settings(max_examples=500, deadline=None)
@given(TEXTS, st.data())
def test_any_split_into_deltas_gives_the_same_reply(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    edges = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    whole = stream_through([text])
    assert stream_through(pieces) == whole
    assert stream_through(list(text)) == whole


@settings(max_examples=500, deadline=None)
@given(TEXTS)
def test_no_listed_word_is_ever_shown(text: str) -> None:
    stream = MatchStream(MATCHER)
    shown = ""
    for char in text:
        shown += stream.feed(char)
        # A word only just complete may still be part of a longer one: judge what is final.
        final = [match for match in harmful(MATCHER.find(shown)) if match.end < len(shown)]
        assert final == []
    assert harmful(MATCHER.find(shown + stream.finish())) == []


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="fghijklmnop 好的，。0123", max_size=80))
def test_text_without_hits_comes_out_whole(text: str) -> None:
    assert stream_through(list(text)) == (text, (), False)


@settings(max_examples=300, deadline=None)
@given(TEXTS.filter(lambda text: "停" not in text))
def test_what_is_held_back_is_bounded(text: str) -> None:
    stream = MatchStream(Matcher([Pattern(word, "word", "block") for word in ("坏词坏", "abcd")]))
    released = 0
    for count, char in enumerate(text, start=1):
        released += len(stream.feed(char))
        if stream.stopped:
            return
        assert count - released <= 4 * (1 + MAX_GAP)
