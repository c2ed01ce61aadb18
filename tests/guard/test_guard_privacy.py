"""Personal data in replies is masked unless it is this customer's own."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.guard import Guard
from edge_runtime.packs.schema import Lexicon

GUARD = Guard(Lexicon({}, (), (), (), {}))


def reply(text: str, *allowed: str) -> tuple[str, tuple[str, ...]]:
    stream = GUARD.open(language="zh", allowed=allowed, evidence=None)
    return "".join(map(stream.feed, text)) + stream.finish(), stream.blocked


@pytest.mark.parametrize(
    ("text", "masked", "kind"),
    [
        ("电话13812345678。", "电话*******5678。", "phone"),
        ("call +86 138 1234 5678 now", "call +** *** **** 5678 now", "phone"),
        ("座机0571-88886666", "座机****-****6666", "phone"),
        ("Ring (415) 555-2671", "Ring (***) ***-2671", "phone"),
        ("Llame al 612 345 678", "Llame al *** **5 678", "phone"),
        ("写信到 zhang.san@example.com。", "写信到 ***@example.com。", "email"),
        ("身份证11010519491231002X", "身份证**************002X", "id"),
        ("卡号 4111 1111 1111 1111", "卡号 **** **** **** 1111", "card"),
    ],
)
def test_personal_data_is_masked(text: str, masked: str, kind: str) -> None:
    assert reply(text) == (masked, (f"privacy:{kind}",))


@pytest.mark.parametrize(
    "text",
    [
        "订单20261124007已发货",
        "热线400-820-8820",
        "条码6901234567892",
        "身份证110105194912310021",
        "2026-11-24 09:30",
        "型号KFR-35GW/N8 价格1,007.50元",
        "a@b",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert reply(text) == (text, ())


def test_the_customers_own_data_may_be_repeated() -> None:
    assert reply("号码13812345678对吗", "我的电话是 138 1234 5678") == ("号码13812345678对吗", ())


@given(st.text(alphabet="138 245-679@.ab汉(+Xx", max_size=120), st.data())
def test_any_split_gives_the_same_reply(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edges = [0, *cuts, len(text)]
    stream = GUARD.open(language="zh", allowed=(), evidence=None)
    parts = [stream.feed(text[a:b]) for a, b in pairwise(edges)]
    assert ("".join(parts) + stream.finish(), stream.blocked) == reply(text)
