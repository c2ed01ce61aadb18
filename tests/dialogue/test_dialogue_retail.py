"""The pack that ships: its replies, orders and policies carried through whole conversations."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from dialogue_kit import TODAY, YES, Conversation

from edge_runtime.config import PACKS_DIR
from edge_runtime.dialogue import Dialogue, SqliteShop
from edge_runtime.packs import Pack, load_pack
from edge_runtime.packs.tables import read_rows


@pytest.fixture(scope="module")
def retail() -> Pack:
    return load_pack(PACKS_DIR / "retail")


@pytest.fixture
def chat(tmp_path: Path, retail: Pack) -> Conversation:
    shop = SqliteShop(tmp_path / "shop.db", retail, today=lambda: TODAY)
    return Conversation(Dialogue(retail, shop))


def intent_of(pack: Pack, skill: str) -> str:
    return next(intent.name for intent in pack.intents.values() if intent.skill == skill)


@pytest.mark.parametrize("language", ["zh", "en", "es"])
def test_every_order_can_be_asked_about_in_every_language(
    chat: Conversation, retail: Pack, language: str
) -> None:
    for row in read_rows(retail, "orders"):
        number = row["order_id"]
        reply = chat.say(
            number,
            intent_of(retail, "order_status"),
            entities=[("order_id", number)],
            language=language,
        )
        assert number in reply and not re.search(r"[{}]", reply)
        assert row["address"] not in reply


@pytest.mark.parametrize(
    ("skill", "language"), [(s, x) for s in ("return", "exchange") for x in ("zh", "en", "es")]
)
def test_returns_and_exchanges_of_every_order_follow_the_policies(
    chat: Conversation, retail: Pack, skill: str, language: str
) -> None:
    seen = set()
    for row in read_rows(retail, "orders"):
        chat.user, chat.state = row["customer_id"], replace(chat.state, language=language)
        slots = [("order_id", row["order_id"])]
        chat.say("please", intent_of(retail, skill), entities=slots, language=language)
        assert chat.outcome
        seen.add(chat.outcome.reply)
        only_food = all(item.startswith("P1") for item in row["items"].split())
        if only_food and row["status"] == "delivered":
            assert chat.outcome.reply == "return_not_allowed"
    asked = {"return": "ask_reason", "exchange": "ask_exchange_for"}[skill]
    assert asked in seen


def test_address_of_a_packed_order_is_changed_after_phone_and_yes(
    chat: Conversation, retail: Pack
) -> None:
    packed = next(row for row in read_rows(retail, "orders") if row["status"] == "packed")
    owner = next(
        row for row in read_rows(retail, "customers") if row["customer_id"] == packed["customer_id"]
    )
    chat.say("我的订单什么时候到?", intent_of(retail, "order_status"))
    assert packed["order_id"] in chat.say(packed["order_id"])
    chat.say("能改地址吗?", intent_of(retail, "change_address"))
    chat.say(owner["phone"][-4:])
    asked = chat.say("新华路8号2单元301", entities=[("address", "新华路8号2单元301")])
    assert "新华路8号2单元301" in asked
    chat.say("对", entities=[YES])
    assert chat.outcome and chat.outcome.reply == "address_changed"
