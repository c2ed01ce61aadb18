"""Conversations about orders, from the first question to the change in the shop's records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from dialogue_kit import NO, TODAY, YES, Conversation

from edge_runtime.dialogue import Dialogue, SqliteShop
from edge_runtime.dialogue.localize import day
from edge_runtime.packs.schema import Intent, Pack

Talk = Callable[..., Conversation]
FIRST = "R20261101001"
SHIPPED = "R20261101002"


def test_order_is_remembered_from_status_to_confirmed_address_change(
    talk: Talk, shop: SqliteShop
) -> None:
    chat = talk()
    assert chat.say("我的订单什么时候到?", "order_status") == "[zh:ask_order_id]"
    status = chat.say(FIRST, "complaint", 0.4, [("order_id", FIRST)])
    assert status == f"[zh:order_status_packed] {FIRST} 羊毛外套 11月26日(周四) 顺丰速运"
    assert chat.say("能改地址吗?", "change_address") == "[zh:ask_phone_last4]"
    assert chat.say("1234", "price_query", 0.8) == "[zh:ask_address]"
    new = "上海市浦东新区世纪大道100号"
    assert chat.say(new, entities=[("address", new)]) == f"[zh:address_confirm] {FIRST} {new}"
    order = shop.order(FIRST)
    assert order and order.address.startswith("北京")
    done = chat.say("对", entities=[YES])
    assert done.startswith("[zh:address_changed]")
    changed = shop.order(FIRST)
    assert changed and changed.address == new
    assert chat.state.pending is None and not chat.state.slot("address")


def test_known_customer_needs_no_phone_digits(talk: Talk) -> None:
    chat = talk("C1")
    assert (
        chat.say("改地址", "change_address", entities=[("order_id", FIRST)]) == "[zh:ask_address]"
    )


def test_address_without_recognised_entity_is_taken_as_said(talk: Talk) -> None:
    chat = talk("C1")
    chat.say("改地址", "change_address", entities=[("order_id", FIRST)])
    reply = chat.say("人民路南边那个小区3栋", "delivery", 0.5)
    assert reply == f"[zh:address_confirm] {FIRST} 人民路南边那个小区3栋"


def test_no_leaves_the_order_as_it_was(talk: Talk, shop: SqliteShop) -> None:
    chat = talk("C1")
    chat.say("取消订单", "cancel_order", entities=[("order_id", FIRST)])
    assert chat.say("不", entities=[NO]) == "[zh:cancelled_action]"
    order = shop.order(FIRST)
    assert order and order.status == "packed"
    assert chat.say("好", entities=[YES]) == "[zh:done_anything_else]"


def test_correcting_the_address_asks_again_about_the_new_one(talk: Talk, shop: SqliteShop) -> None:
    chat = talk("C1")
    chat.say("改地址", "change_address", entities=[("order_id", FIRST)])
    chat.say("人民路1号", entities=[("address", "人民路1号")])
    reply = chat.say("不对,人民路11号", "change_address", entities=[NO, ("address", "人民路11号")])
    assert reply == f"[zh:address_confirm] {FIRST} 人民路11号"
    order = shop.order(FIRST)
    assert order and order.address.startswith("北京")


def test_a_new_matter_interrupts_and_the_old_yes_is_void(talk: Talk, shop: SqliteShop) -> None:
    chat = talk("C1")
    chat.say("取消订单", "cancel_order", entities=[("order_id", FIRST)])
    assert chat.say("外套能退吗?", "return_policy") == "<returns>"
    assert chat.say("对", entities=[YES]) == "[zh:done_anything_else]"
    order = shop.order(FIRST)
    assert order and order.status == "packed"


def test_unclear_answer_to_a_confirmation_asks_the_same_again_then_calls_a_person(
    talk: Talk, shop: SqliteShop
) -> None:
    chat = talk("C1")
    question = chat.say("取消订单", "cancel_order", entities=[("order_id", FIRST)])
    assert chat.say("嗯嗯啊这个那个", confidence=0.3) == question
    assert chat.say("嗯嗯啊这个那个", confidence=0.3) == question
    assert chat.say("嗯嗯啊这个那个", confidence=0.3) == "[zh:handover_low_confidence]"
    order = shop.order(FIRST)
    assert order and order.status == "packed"


def test_shipped_order_can_be_neither_redirected_nor_cancelled(
    talk: Talk, shop: SqliteShop
) -> None:
    chat = talk("C1")
    entities = [("order_id", SHIPPED)]
    late = chat.say("改地址", "change_address", entities=entities)
    assert late == f"[zh:address_too_late] {SHIPPED} shipped"
    assert chat.say("那取消", "cancel_order").startswith("[zh:cancel_too_late]")
    order = shop.order(SHIPPED)
    assert order and order.status == "shipped"


def test_confirmed_cancellation_is_recorded_with_its_refund(talk: Talk, shop: SqliteShop) -> None:
    chat = talk("C1")
    chat.say("取消订单", "cancel_order", entities=[("order_id", FIRST)])
    assert chat.say("是的", entities=[YES]) == f"[zh:cancelled] {FIRST}"
    order = shop.order(FIRST)
    assert order and (order.status, order.refund) == ("cancelled", "pending")
    assert chat.say("退款到了吗", "refund_status") == f"[zh:refund_pending] {FIRST} 399 3"


def test_wrong_phone_digits_three_times_call_a_person_and_reveal_nothing(talk: Talk) -> None:
    chat = talk()
    chat.say("改地址", "change_address", entities=[("order_id", FIRST)])
    assert chat.say("0000") == "[zh:verify_failed]"
    assert chat.say("9999") == "[zh:verify_failed]"
    assert chat.say("8888") == "[zh:verify_failed]"
    assert chat.outcome and chat.outcome.handover
    assert chat.state.handed_over and chat.state.pending is None


def test_wrong_digits_in_many_sessions_lock_the_order_for_the_day(
    talk: Talk, shop: SqliteShop
) -> None:
    for _ in range(5):
        assert shop.verify(FIRST, "0000") == "wrong"
    assert shop.verify(FIRST, "1234") == "locked"


def test_status_by_number_alone_shows_no_address(talk: Talk) -> None:
    chat = talk()
    chat.say("查订单", "order_status", entities=[("order_id", FIRST)])
    assert chat.cards[0].kind == "order"
    assert "海淀" not in chat.cards[0].body
    owner = talk("C1")
    owner.say("查订单", "order_status", entities=[("order_id", FIRST)])
    assert "海淀" in owner.cards[0].body


def test_another_customers_order_stays_closed_to_a_known_customer(talk: Talk) -> None:
    chat = talk("C2")
    reply = chat.say("cancelar", "cancel_order", entities=[("order_id", FIRST)], language="es")
    assert reply == "[es:ask_phone_last4]"


def test_several_orders_are_listed_to_the_known_customer(talk: Talk) -> None:
    chat = talk("C1")
    reply = chat.say("我的订单到哪了", "order_status")
    assert reply == f"[zh:order_list] 2 {FIRST} (羊毛外套)、{SHIPPED} (电热水壶2件)"
    assert chat.cards[0].buttons == (FIRST, SHIPPED)
    assert chat.say(SHIPPED, entities=[("order_id", SHIPPED)]).startswith(
        "[zh:order_status_shipped]"
    )


def test_unknown_order_is_asked_for_again(talk: Talk) -> None:
    chat = talk()
    reply = chat.say("查 R99999999999", "order_status", entities=[("order_id", "R99999999999")])
    assert reply == "[zh:order_not_found] R99999999999"
    assert chat.say("是 r2026 1101 001").startswith("[zh:order_status_packed]")


def test_never_mind_drops_the_question(talk: Talk) -> None:
    chat = talk()
    chat.say("我的订单到哪了", "order_status")
    assert chat.say("算了", "order_status", 0.9) == "[zh:cancelled_action]"
    assert chat.state.pending is None


def test_number_inside_another_request_goes_with_that_request(talk: Talk) -> None:
    chat = talk("C1")
    chat.say("我的订单到哪了", "order_status")
    reply = chat.say(
        f"请帮我把我上个星期买的这个订单取消掉可以吗 {FIRST}",
        "cancel_order",
        entities=[("order_id", FIRST)],
    )
    assert reply == f"[zh:cancel_confirm] {FIRST}"


def test_return_asks_the_reason_then_opens_one_return(talk: Talk) -> None:
    chat = talk("C2")
    entities = [("order_id", "R20261101003")]
    assert chat.say("quiero devolver", "return_request", entities=entities, language="es") == (
        "[es:ask_reason]"
    )
    reply = chat.say("no me queda bien", "complaint", 0.8, language="es")
    number = "RT261124001"
    items = "Abrigo de lana, Pan integral"
    assert reply == f"[es:return_started] R20261101003 {items} {number}"
    chat.say("quiero devolver", "return_request", language="es")
    assert chat.say("no me queda bien", language="es").endswith(number)


def test_not_wanting_it_any_more_is_a_reason_and_no_refusal(pack: Pack, shop: SqliteShop) -> None:
    deny = Intent("deny", "", {"zh": ("不",)}, reply="cancelled_action")
    chat = Conversation(Dialogue(replace(pack, intents={**pack.intents, "deny": deny}), shop), "C2")
    chat.say("我要退货", "return_request", entities=[("order_id", "R20261101003")])
    assert chat.say("不想要了", "deny").startswith("[zh:return_started]")


def test_food_is_refused_with_the_policys_own_words(talk: Talk) -> None:
    chat = talk("C2")
    reply = chat.say("我要退货", "return_request", entities=[("order_id", "R20261101004")])
    assert reply.startswith("[zh:return_not_allowed] 食品一经售出不能退货。")
    assert chat.outcome and chat.outcome.sources == ("returns#food",)


def test_return_after_the_policys_days_is_refused(talk: Talk) -> None:
    chat = talk("C2")
    reply = chat.say("我要退货", "return_request", entities=[("order_id", "R20261101005")])
    assert reply == "[zh:return_expired] R20261101005 7"


def test_exchange_asks_what_for(talk: Talk) -> None:
    chat = talk("C2")
    chat.say("我要换货", "exchange_request", entities=[("order_id", "R20261101003")])
    assert chat.say("换大一号", "return_policy", 0.5) == (
        "[zh:exchange_started] R20261101003 EX261124001"
    )


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh", "11月26日(周四)"),
        ("en", "Thursday 26 November"),
        ("es", "jueves 26 de noviembre"),
        ("fr", "Thursday 26 November"),
    ],
)
def test_days_are_said_in_the_customers_language(language: str, text: str) -> None:
    assert day(date(2026, 11, 26), language) == text


@pytest.mark.parametrize(
    "spoken",
    ["r20261101001", "R2026 1101 001", "R-2026-1101-OO1", "20261101001", "二零二六幺幺零一零零一"],
)
def test_order_numbers_are_found_as_people_write_and_say_them(
    shop: SqliteShop, spoken: str
) -> None:
    order = shop.order(spoken)
    assert (order.id if order else "") == FIRST


def test_partial_and_empty_order_numbers_find_nothing(shop: SqliteShop) -> None:
    assert shop.order("") is None
    assert shop.order("R2026") is None
    assert shop.order("'; DROP TABLE orders; --") is None


def test_sample_days_never_age(tmp_path_factory: pytest.TempPathFactory, pack: Pack) -> None:
    path = tmp_path_factory.mktemp("aging") / "shop.db"
    SqliteShop(path, pack, today=lambda: TODAY).close()
    later = SqliteShop(path, pack, today=lambda: date(2028, 2, 28))
    order = later.order(FIRST)
    assert order and order.eta == date(2028, 3, 1)
