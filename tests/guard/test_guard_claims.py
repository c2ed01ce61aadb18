"""Drafts may say only what the evidence says."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.guard import Guard
from edge_runtime.guard.numbers import chinese_number, quantities
from edge_runtime.packs.schema import Lexicon

GUARD = Guard(Lexicon({}, (), (), (), {}))
CLOTHES = "衣服在三十天内，只要没穿过、没洗过，凭小票就能退。外套、毛衣都一样。运费十二元。"
FOOD = "食品一经售出不能退货，面包、蛋糕、牛奶都不能退。变质的请当天带小票来，核实后全额退款。"
ENGLISH = (
    "Clothes can be returned within 30 days with the receipt. "
    "Food cannot be returned, bread and cakes included. Delivery costs $4.50."
)
SPANISH = (
    "La ropa se puede devolver en 30 días con el recibo. "
    "Los alimentos no se pueden devolver, tampoco el pan."
)


def draft(text: str, evidence: str, question: str = "") -> tuple[str, tuple[str, ...], bool]:
    stream = GUARD.open(language="zh", allowed=(question,), evidence=(evidence, question))
    released = "".join(map(stream.feed, text)) + stream.finish()
    return released, stream.blocked, stream.stopped


@pytest.mark.parametrize(
    ("text", "evidence", "question"),
    [
        ("您好，外套三十天内凭小票可以退。", CLOTHES, "外套不合适，能退吗？"),
        ("外套30天内能退，运费12元。", CLOTHES, "能退吗"),
        ("抱歉，面包不能退货。", FOOD, "面包可以退吗？"),
        ("您的订单10086还没发货。", CLOTHES, "订单10086到哪了"),
        ("Yes, you can return the jacket within thirty days.", ENGLISH, "Can I return a jacket?"),
        ("1. Bring the receipt.\n2. Come within 30 days.", ENGLISH, ""),
        ("Sorry, bread cannot be returned. Delivery costs $4.50.", ENGLISH, "Return bread?"),
        ("El pan no se puede devolver.", SPANISH, "¿Puedo devolver el pan?"),
        ("La chaqueta se puede devolver en 30 días.", SPANISH, "¿Puedo devolver la chaqueta?"),
        ("您想退货吗？", FOOD, ""),
    ],
)
def test_supported_drafts_pass_whole(text: str, evidence: str, question: str) -> None:
    assert draft(text, evidence, question) == (text, (), False)


@pytest.mark.parametrize(
    ("text", "evidence", "question", "kept", "kind"),
    [
        ("您好，面包可以退货。", FOOD, "面包可以退吗？", "您好，面包", "permission"),
        ("可以，外套六十天内都行。", CLOTHES, "能退吗", "可以，外套", "number"),
        ("外套30元就行。", CLOTHES, "", "外套", "number"),
        ("好的，我们免费送货。", CLOTHES, "", "好的，我们", "permission"),
        ("打八折给您。", CLOTHES, "", "打", "number"),
        (
            "Sure, bread can be returned.",
            ENGLISH,
            "can bread be returned?",
            "Sure, bread",
            "permission",
        ),
        ("You have 45 days.", ENGLISH, "", "You have", "number"),
        ("Delivery is free.", ENGLISH, "", "Delivery is", "permission"),
        ("Delivery is 5.40 dollars.", ENGLISH, "", "Delivery is", "number"),
        ("Sí, el pan se puede devolver.", SPANISH, "¿y el pan?", "Sí, el pan se", "permission"),
        ("保证能修好。", CLOTHES, "", "", "permission"),
    ],
)
def test_unsupported_claims_stop_the_draft(
    text: str, evidence: str, question: str, kept: str, kind: str
) -> None:
    released, blocked, stopped = draft(text + "后面的话", evidence, question)
    assert (released.strip(), blocked, stopped) == (kept, (f"claim:{kind}",), True)


def test_a_permission_in_the_question_grants_nothing() -> None:
    assert draft("蛋糕可以退。", "营业时间九点到十点。", "蛋糕可以退吧")[2]


def test_deterministic_replies_are_not_checked() -> None:
    stream = GUARD.open(language="zh", allowed=(), evidence=None)
    assert stream.feed("面包99天内可以退。") + stream.finish() == "面包99天内可以退。"


def test_a_stopped_stream_releases_nothing_more() -> None:
    stream = GUARD.open(language="en", allowed=(), evidence=(ENGLISH,))
    stream.feed("You have 45 days. ")
    assert (stream.feed("Really."), stream.finish(), stream.stopped) == ("", "", True)


def test_a_broken_off_draft_is_not_completed() -> None:
    stream = GUARD.open(language="en", allowed=(), evidence=(ENGLISH,))
    first = stream.feed("Hello, you may")
    stream.stop()
    assert (first, stream.finish(), stream.stopped) == ("Hello, ", "", False)


@given(st.sampled_from([ENGLISH, CLOTHES, FOOD, "Hello, it costs 99.5, ok?"]), st.data())
def test_any_split_is_judged_alike(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edges = [0, *cuts, len(text)]
    stream = GUARD.open(language="en", allowed=(), evidence=(ENGLISH,))
    parts = [stream.feed(text[a:b]) for a, b in pairwise(edges)]
    released = "".join(parts) + stream.finish()
    assert (released, stream.blocked, stream.stopped) == draft(text, ENGLISH)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("三十", "30"),
        ("十五", "15"),
        ("一百二十", "120"),
        ("两千零五", "2005"),
        ("三万五千", "35000"),
        ("半", "0.5"),
        ("二〇二六", "2026"),
    ],
)
def test_chinese_numerals(text: str, value: str) -> None:
    assert chinese_number(text) == Decimal(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7天", "一周"),
        ("24小时", "二十四个小时"),
        ("1,000 euros", "€1000"),
        ("百分之十", "10%"),
        ("30 days", "thirty days"),
        ("￥12.50", "12.5元"),
    ],
)
def test_the_same_quantity_written_in_two_ways(one: str, other: str) -> None:
    assert list(quantities(one)) == list(quantities(other)) != []
