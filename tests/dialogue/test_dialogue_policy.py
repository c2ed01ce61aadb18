"""What the policy decides: follow-ups, complaints, pictures, doubt, and whom it listens to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from dialogue_kit import YES, Conversation, said

from edge_runtime.dialogue import KNOWLEDGE, SessionState
from edge_runtime.turn import OUT_OF_SCOPE, UNCLEAR, Passage, PictureText

Talk = Callable[..., Conversation]
FIRST = "R20261101001"


def picture(text: str, **fields: str) -> PictureText:
    return PictureText(text, (), fields, 0.9)


RECEIPT = picture(
    "云杉百货 中关村店 合计 88.00",
    merchant="云杉百货中关村店",
    date="2026-11-20",
    total="88.00",
    number="0042",
)


def test_topic_question_is_answered_within_its_topic_and_goods(talk: Talk) -> None:
    chat = talk()
    assert chat.say("面包能退吗", "return_policy", entities=[("product", "P2")]) == "<returns>"
    assert chat.decision and dict(chat.decision.slots) == {"product": "P2", "category": "food"}


def test_new_question_about_other_goods_drops_the_former_goods(talk: Talk) -> None:
    chat = talk()
    chat.say("面包能退吗", "return_policy", entities=[("product", "P2")])
    chat.say("那外套呢", confidence=0.3, entities=[("category", "clothing")])
    assert chat.decision and chat.decision.intent == "return_policy"
    assert dict(chat.decision.slots) == {"category": "clothing"}


def test_complete_question_does_not_lean_on_former_goods(talk: Talk) -> None:
    chat = talk()
    chat.say("面包能退吗", "return_policy", entities=[("product", "P2")])
    chat.say("请问你们店的退货政策是怎么规定的", "return_policy")
    assert chat.decision and not chat.decision.slots


@pytest.mark.parametrize(
    ("text", "language"), [("什么时候到", "zh"), ("when?", "en"), ("¿cuándo llega?", "es")]
)
def test_short_follow_up_uses_the_remembered_order(talk: Talk, text: str, language: str) -> None:
    chat = talk()
    chat.say("查订单", "order_status", entities=[("order_id", FIRST)])
    reply = chat.say(text, "order_status", 0.5, language=language)
    assert reply.startswith(f"[{language}:order_status_packed] {FIRST}")
    assert chat.decision and chat.decision.confidence >= 0.7


def test_same_words_without_anything_remembered_are_not_acted_on(talk: Talk) -> None:
    chat = talk()
    chat.say("什么时候到", "order_status", 0.5)
    assert chat.decision and chat.decision.kind == "clarify"


def test_how_much_means_the_product_just_spoken_of(talk: Talk) -> None:
    chat = talk()
    chat.say("有羊毛外套吗", "price_query", entities=[("product", "P1")])
    reply = chat.say("how much is it?", "price_query", 0.5, language="en")
    assert reply == "[en:price_stock] Wool coat 399 7"
    assert chat.cards[0].image == "images/coat.png"


def test_unknown_shipping_follow_up_is_looked_up(talk: Talk) -> None:
    chat = talk()
    chat.say("面包能退吗", "return_policy", entities=[("product", "P2")])
    chat.say("那运费呢?", OUT_OF_SCOPE, 0.5)
    assert chat.decision and (chat.decision.reason, chat.decision.topic) == (KNOWLEDGE, "")


def test_unsure_question_about_a_topic_is_looked_up_and_a_skill_never_guessed(talk: Talk) -> None:
    chat = talk()
    chat.say("你们几点关门?", "delivery", 0.5)
    assert chat.decision and chat.decision.reason == KNOWLEDGE
    chat.say("可不可以帮我把那个订单弄掉不要了呢", "cancel_order", 0.5)
    assert chat.decision and chat.decision.kind == "clarify"


def test_statement_out_of_scope_gets_the_polite_answer(talk: Talk) -> None:
    assert talk().say("给我唱首歌", OUT_OF_SCOPE, 0.9) == "[zh:out_of_scope]"


def test_a_mumble_is_asked_back_and_at_last_handed_over(talk: Talk) -> None:
    chat = talk()
    kinds = []
    for _ in range(3):
        chat.say("嗯那个什么来着", UNCLEAR, 0.95)
        assert chat.decision
        kinds.append(chat.decision.kind)
    assert kinds[0] == "clarify"
    assert kinds[-1] == "handover"


def test_a_bare_value_answers_the_question_that_is_open(talk: Talk) -> None:
    chat = talk()
    assert chat.say("我要退货", "return_request") == "[zh:ask_order_id]"
    number = "R20261101003"
    chat.say(number, UNCLEAR, 0.9, entities=[("order_id", number)])
    assert chat.decision and (chat.decision.kind, chat.decision.skill) == ("skill", "return")


def test_question_out_of_scope_that_knowledge_lacks_gets_the_polite_answer(talk: Talk) -> None:
    chat = talk()
    chat.evidence = False
    assert chat.say("明天天气怎么样?", OUT_OF_SCOPE, 0.9) == "[zh:out_of_scope]"
    assert chat.state.clarify_attempts == 0


def test_two_near_readings_are_offered_as_buttons_and_chosen_by_voice(talk: Talk) -> None:
    chat = talk()
    near = (("cancel_order", 0.45), ("return_request", 0.4))
    reply = chat.say("不想要那个东西了", "cancel_order", 0.45, candidates=near)
    assert reply == "[zh:clarify_choice] 取消订单 / 我要退货"
    assert chat.cards[0].buttons == ("取消订单", "我要退货")
    assert chat.say("第二个", OUT_OF_SCOPE, 0.6) == "[zh:ask_order_id]"
    assert chat.decision and chat.decision.skill == "return"


def test_a_person_takes_over_after_two_clarifying_questions(talk: Talk) -> None:
    chat = talk()
    assert chat.say("嘟嘟嘟啦啦啦", confidence=0.2) == "[zh:clarify]"
    assert chat.say("嘟嘟嘟啦啦啦", confidence=0.2) == "[zh:clarify]"
    assert chat.say("嘟嘟嘟啦啦啦", confidence=0.2) == "[zh:handover_low_confidence]"
    assert chat.cards[0].kind == "handover"


def test_an_answer_in_between_resets_the_clarifying_questions(talk: Talk) -> None:
    chat = talk()
    chat.say("嘟嘟嘟啦啦啦", confidence=0.2)
    chat.say("嘟嘟嘟啦啦啦", confidence=0.2)
    chat.say("外套能退吗", "return_policy")
    assert chat.say("嘟嘟嘟啦啦啦", confidence=0.2) == "[zh:clarify]"


def test_missing_evidence_offers_a_person_and_yes_is_enough(talk: Talk) -> None:
    chat = talk()
    chat.evidence = False
    assert chat.say("运费多少", "delivery") == "[zh:no_evidence]"
    assert chat.say("好的", entities=[("yes_no", "yes")]) == "[zh:handover]"
    assert chat.state.handed_over


def test_unsure_questions_without_evidence_end_with_a_person(talk: Talk) -> None:
    chat = talk()
    chat.evidence = False
    replies = [chat.say("这个东西到底怎么算的?", "delivery", 0.5) for _ in range(3)]
    assert replies == ["[zh:clarify]", "[zh:handover_offer]", "[zh:handover_low_confidence]"]


def test_maybe_a_person_is_offered_and_declined(talk: Talk) -> None:
    chat = talk()
    assert chat.say("有人在那边可以说话的", "human", 0.5) == "[zh:handover_offer]"
    assert chat.say("不用了") == "[zh:cancelled_action]"


def test_a_person_asked_for_comes_at_once_even_amid_a_question(talk: Talk) -> None:
    chat = talk()
    chat.say("我的订单到哪了", "order_status")
    assert chat.say("转人工", "human") == "[zh:handover]"
    assert chat.outcome and chat.outcome.handover and chat.state.pending is None


def test_third_complaint_in_a_row_calls_a_person(talk: Talk) -> None:
    chat = talk()
    first = chat.say("我要投诉", "complaint", sentiment="negative")
    assert first == "[zh:complaint_recorded] TK261124001"
    again = chat.say("态度太差", "complaint", sentiment="negative")
    assert again == "[zh:complaint_again] TK261124001"
    assert chat.say("太过分了", "complaint", 0.4, sentiment="negative") == (
        "[zh:handover_complaints]"
    )
    assert chat.state.complaints == 0


def test_gold_customer_is_handed_over_at_the_second_complaint_by_name(talk: Talk) -> None:
    chat = talk("C2")
    chat.say("quiero quejarme", "complaint", language="es")
    reply = chat.say("es un desastre", "complaint", language="es")
    assert reply == "[es:handover_vip] Ana"
    assert chat.decision and chat.decision.values["priority"] == "2"


def test_a_settled_matter_in_between_resets_the_complaints(talk: Talk) -> None:
    chat = talk()
    chat.say("我要投诉", "complaint")
    chat.say("我要投诉", "complaint")
    chat.say("外套能退吗", "return_policy")
    assert chat.say("我要投诉", "complaint").startswith("[zh:complaint_again]")


def test_answering_a_question_neither_counts_nor_resets(talk: Talk) -> None:
    chat = talk()
    chat.say("我要投诉", "complaint")
    chat.say("我要投诉", "complaint")
    chat.say("我的订单到底到哪了", "order_status", sentiment="negative", sentiment_confidence=0.7)
    chat.say(FIRST, entities=[("order_id", FIRST)])
    assert chat.say("我要投诉", "complaint") == "[zh:handover_complaints]"


def test_upset_customer_with_another_matter_hears_an_apology_first(talk: Talk) -> None:
    chat = talk()
    reply = chat.say("我的订单怎么还没到", "order_status", sentiment="negative")
    assert reply == "[zh:apology][zh:ask_order_id]"


def test_abuse_counts_as_complaint_and_is_not_answered_in_kind(talk: Talk) -> None:
    chat = talk()
    reply = chat.turn(said("某某某某", confidence=0.3), abusive=True)
    assert reply == "[zh:blocked]" and chat.state.complaints == 1
    assert chat.turn(said("外套能退吗", "return_policy"), abusive=True) == "<returns>"


def test_vip_is_greeted_by_name_and_others_are_not(talk: Talk) -> None:
    assert talk("C2").say("hola", "greeting", language="es") == "[es:greeting_vip] Ana"
    assert talk("C1").say("你好", "greeting") == "[zh:greeting]"


def test_repeat_says_the_last_reply_word_for_word(talk: Talk) -> None:
    chat = talk()
    assert chat.say("再说一遍", "repeat") == "[zh:repeat_nothing]"
    told = chat.say("查订单", "order_status", entities=[("order_id", FIRST)])
    assert chat.say("再说一遍", "repeat") == told
    assert chat.say("再说一遍", "repeat") == told


def test_silence_is_not_understood(talk: Talk) -> None:
    assert talk().say("", confidence=0.0) == "[zh:not_heard]"


# Pictures -------------------------------------------------------------------------------------


def test_receipt_without_words_becomes_an_invoice(talk: Talk) -> None:
    chat = talk()
    shown = said("", confidence=0.0)
    assert chat.turn(shown, picture=RECEIPT) == "[zh:ask_invoice_title]"
    asked = chat.say("北京某某科技有限公司", "complaint", 0.3)
    assert asked == "[zh:invoice_confirm] 云杉百货中关村店 11月20日(周五) 88"
    issued = chat.say("对", entities=[YES])
    assert issued == "[zh:invoice_issued] INV261124001 88"
    assert not [name for name in chat.state.slots if name.startswith("receipt")]


def test_the_same_receipt_gives_the_same_invoice(talk: Talk) -> None:
    issued = []
    for _ in range(2):
        chat = talk()
        chat.turn(said(RECEIPT.text, "human", 0.9), picture=RECEIPT)
        chat.say("某某公司")
        issued.append(chat.say("对", entities=[YES]))
    assert issued == ["[zh:invoice_issued] INV261124001 88"] * 2


@pytest.mark.parametrize(
    ("changes", "reply"),
    [
        ({"merchant": "别家超市"}, "[zh:invoice_not_ours] 别家超市"),
        ({"date": "2026-10-01"}, "[zh:invoice_too_old] 30"),
        ({"date": "2027-01-01"}, "[zh:invoice_too_old] 30"),
        ({"date": "昨天"}, "[zh:ask_receipt]"),
        ({"total": "1e99"}, "[zh:ask_receipt]"),
        ({"total": "NaN"}, "[zh:ask_receipt]"),
    ],
)
def test_receipts_that_cannot_be_invoiced(talk: Talk, changes: dict[str, str], reply: str) -> None:
    shown = replace(RECEIPT, fields={**RECEIPT.fields, **changes})
    assert talk().turn(said("", confidence=0.0), picture=shown) == reply


def test_another_sure_question_about_a_receipt_is_answered_instead(talk: Talk) -> None:
    question = said("这上面的外套能退吗", "return_policy")
    assert talk().turn(question, picture=RECEIPT) == "<returns>"


def test_error_code_in_a_picture_brings_the_repair_guide_with_its_pictures(talk: Talk) -> None:
    chat = talk()
    reply = chat.turn(said("", confidence=0.0), picture=picture("E3"))
    assert reply == "[zh:repair_steps] 先拔下电源。"
    assert [card.image for card in chat.cards] == ["images/k.png"]
    assert chat.outcome and chat.outcome.sources == ("kettle#no-heat",)


def test_repair_asks_for_the_symptom_then_says_when_the_guide_lacks_it(talk: Talk) -> None:
    chat = talk()
    chat.retrieved = (Passage("x#y", "", "", "zh", "repair", "repair", 0.1),)
    assert chat.say("坏了", "repair") == "[zh:ask_symptom]"
    assert chat.say("它一直滴滴响还冒烟", "complaint", 0.9) == "[zh:repair_not_found]"


def test_unreadable_picture_is_asked_for_again(talk: Talk) -> None:
    shown = picture("  ")
    assert talk().turn(said("", confidence=0.0), picture=shown) == "[zh:picture_unreadable]"


def test_other_text_in_a_picture_is_the_question(talk: Talk) -> None:
    poster = picture("外套能退吗")
    assert talk().turn(said("外套能退吗", "return_policy"), picture=poster) == "<returns>"


# Whom it hears --------------------------------------------------------------------------------


def test_after_half_an_hour_the_next_customer_learns_nothing(talk: Talk) -> None:
    chat = talk()
    chat.say("查订单", "order_status", entities=[("order_id", FIRST)])
    chat.now += 31 * 60
    assert chat.say("我的订单什么时候到?", "order_status") == "[zh:ask_order_id]"
    assert FIRST not in chat.state.to_json()


@pytest.mark.parametrize("user", ["", "C2"])
def test_another_customer_does_not_inherit_the_session(talk: Talk, user: str) -> None:
    chat = talk("C1")
    chat.say("查订单", "order_status", entities=[("order_id", FIRST)])
    chat.user = user
    chat.say("再说一遍", "repeat")
    assert FIRST not in chat.state.to_json()


def test_goodbye_and_a_greeting_after_a_pause_forget_the_customer(talk: Talk) -> None:
    for text, intent in (("再见", "goodbye"), ("你好", "greeting")):
        chat = talk()
        chat.say("查订单", "order_status", entities=[("order_id", FIRST)])
        chat.now += 120
        chat.say(text, intent)
        assert FIRST not in chat.state.to_json()


def test_greeting_within_a_conversation_keeps_the_order(talk: Talk) -> None:
    chat = talk()
    chat.say("查订单", "order_status", entities=[("order_id", FIRST)])
    chat.say("你好", "greeting")
    assert chat.state.slot("order_id") == FIRST


def test_a_clock_set_back_counts_as_idle() -> None:
    state = SessionState("s", active_at=2e9).remember("order_id", FIRST)
    assert not state.at(1e9).slots


def test_language_follows_words_but_not_bare_numbers(talk: Talk) -> None:
    chat = talk()
    chat.say("where is my order", "order_status", language="en")
    assert chat.say(FIRST, language="es", entities=[("order_id", FIRST)]).startswith("[en:")
    assert chat.say("gracias", "goodbye", language="es") == "[es:goodbye]"
    assert chat.say("merci beaucoup", "goodbye", language="fr") == "[es:goodbye]"


def test_phone_digits_are_never_remembered(talk: Talk) -> None:
    chat = talk()
    chat.say("改地址", "change_address", entities=[("order_id", FIRST)])
    chat.say("13800001234", entities=[("phone", "+8613800001234")])
    assert chat.state.verified == (FIRST,)
    assert "1234" not in chat.state.to_json()


def test_bare_no_to_nothing_says_goodbye_and_forgets(talk: Talk) -> None:
    chat = talk()
    chat.say("查订单", "order_status", entities=[("order_id", FIRST)])
    assert chat.say("no", entities=[("yes_no", "no")], language="es") == "[es:goodbye]"
    assert FIRST not in chat.state.to_json()
