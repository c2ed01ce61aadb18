"""What customers get for what they ask: the real stages, the retail pack."""

from __future__ import annotations

import io
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from assistant_kit import ask, only, shown, turn
from e2e.cli_kit import picture_of, receipt

from edge_runtime.assistant import Assistant
from edge_runtime.audio import wav_bytes
from edge_runtime.config import Settings
from edge_runtime.generation import plan_answer
from edge_runtime.rooms import Rooms
from edge_runtime.turn import (
    Card,
    Decision,
    Done,
    Evidence,
    Passage,
    PictureText,
    Speech,
    Transcript,
)

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("assistant")]


@pytest.fixture
def session() -> str:
    return uuid.uuid4().hex


# ---- policies ----


@pytest.mark.parametrize(
    ("question", "language", "words"),
    [
        ("你好,我上周买的外套不合适,能退吗?", "zh", "三十天"),
        ("Hi, the coat I bought last week does not fit. Can I return it?", "en", "30 days"),
        ("Hola, el abrigo que compré no me queda bien. ¿Puedo devolverlo?", "es", "30 días"),
    ],
)
def test_a_coat_that_does_not_fit_can_be_returned(
    assistant: Assistant, question: str, language: str, words: str
) -> None:
    done = ask(assistant, question)
    assert (done.language, done.decision) == (language, "answer")
    assert done.sources == ("returns#clothing",)
    assert words in done.reply
    assert done.blocked == ()


@pytest.mark.parametrize(
    ("question", "language", "no"),
    [
        ("面包能退吗?", "zh", "不能退"),
        ("bread can be returned?", "en", "cannot be returned"),
        ("¿Puedo devolver el pan?", "es", "no se pueden devolver"),
    ],
)
def test_bread_cannot_be_returned(
    assistant: Assistant, question: str, language: str, no: str
) -> None:
    done = ask(assistant, question)
    assert done.language == language
    assert done.sources == ("returns#food",)
    assert no in done.reply


# ---- conversations ----


def test_the_order_is_kept_in_mind_over_turns_and_restarts(
    settings: Settings, rooms: Rooms, session: str
) -> None:
    first = Assistant(settings, rooms=rooms)
    asked = ask(first, "我的订单什么时候到?", session=session)
    assert (asked.intent, asked.decision) == ("order_status", "skill")
    told = ask(first, "R20261120001", session=session)
    assert "R20261120001" in told.reply
    another = Assistant(settings, rooms=rooms)
    change = ask(another, "能改地址吗?", session=session)
    assert change.intent == "change_address"
    assert "订单号" not in change.reply, f"the order was forgotten: {change.reply}"


@pytest.mark.parametrize(
    "text", ["R20261120001 什么时候到?", "R20261120001到哪了", "Where is R20261120001?"]
)
def test_a_question_about_an_order_number_is_about_that_order(
    assistant: Assistant, text: str
) -> None:
    done = ask(assistant, text)
    assert done.intent == "order_status"
    assert "R20261120001" in done.reply


def test_one_conversation_is_not_another(assistant: Assistant, session: str) -> None:
    ask(assistant, "我的订单什么时候到?", session=session)
    ask(assistant, "R20261120001", session=session)
    elsewhere = ask(assistant, "能改地址吗?")
    assert "订单号" in elsewhere.reply


def test_the_reply_follows_the_language_of_the_customer(assistant: Assistant, session: str) -> None:
    assert ask(assistant, "营业时间是几点?", session=session).language == "zh"
    assert ask(assistant, "What are your opening hours?", session=session).language == "en"


def test_complaints_in_a_row_bring_a_person(assistant: Assistant, session: str) -> None:
    said = ("我要投诉你们的服务态度", "太差了,我还要投诉", "再次投诉!没有人理我")
    decisions = [ask(assistant, text, session=session).decision for text in said]
    decisions.append(ask(assistant, "我要投诉,到现在没人处理", session=session).decision)
    assert "handover" in decisions[2:]
    assert "handover" not in decisions[:2]


def test_who_asks_for_a_person_gets_one(assistant: Assistant) -> None:
    for text in ("转人工", "I want to talk to a human", "quiero hablar con una persona"):
        assert ask(assistant, text).decision == "handover"


def test_what_cannot_be_understood_is_asked_again_and_then_handed_over(
    assistant: Assistant, session: str
) -> None:
    decisions = [
        ask(assistant, text, session=session).decision
        for text in ("嗯那个就是那样的东西", "就那个嘛那样那样的", "那个那个那个")
    ]
    assert set(decisions) <= {"clarify", "handover"}
    assert decisions[0] == "clarify"
    assert decisions[-1] == "handover"


def test_what_a_shop_does_not_answer_is_declined_politely(assistant: Assistant) -> None:
    done = ask(assistant, "帮我写一首关于月亮的诗")
    assert done.intent == "out_of_scope"
    assert done.decision in ("answer", "clarify")
    assert done.sources == ()
    assert done.reply


def test_a_member_is_greeted_by_name(assistant: Assistant) -> None:
    assert "Emma Clarke" in ask(assistant, "hello", user="C008").reply
    assert "张伟" in ask(assistant, "你好", user="13800000103").reply
    assert "Emma" not in ask(assistant, "hello", user="nobody").reply


@pytest.mark.parametrize("text", ["你这个白痴,外套能退吗?", "you idiot, can I return a coat?"])
def test_listed_words_in_a_question_are_never_said_back(assistant: Assistant, text: str) -> None:
    events = turn(assistant, text)
    assert "白痴" not in shown(events)
    assert "idiot" not in shown(events)
    assert shown(events).strip()


# ---- pictures ----


def test_a_receipt_leads_to_its_invoice(assistant: Assistant, tmp_path: Path, session: str) -> None:
    events = turn(assistant, "开发票", image=receipt(tmp_path / "receipt.png"), session=session)
    (read,) = only(PictureText, events)
    assert read.fields["total"] == "212.00"
    (decision,) = only(Decision, events)
    assert (decision.kind, decision.skill) == ("skill", "invoice")
    titled = ask(assistant, "抬头:云杉市第一小学", session=session)
    assert "212" in titled.reply
    issued = ask(assistant, "对", session=session)
    assert "212" in issued.reply
    assert issued.sources == ("receipt:XS2026112407",)


def test_a_receipt_without_words_is_understood(assistant: Assistant, tmp_path: Path) -> None:
    image = receipt(tmp_path / "receipt.png").read_bytes()
    decisions = only(Decision, turn(assistant, image=image, language="zh"))
    assert [decision.skill for decision in decisions] == ["invoice"]


def test_a_fault_told_or_shown_leads_to_its_repair_guide(
    assistant: Assistant, tmp_path: Path, rooms: Rooms
) -> None:
    events = turn(assistant, "电热水壶不加热了,怎么办?")
    (decision,) = only(Decision, events)
    assert decision.skill == "repair"
    images = [card.image for card in only(Card, events) if card.image]
    assert images
    assert all(rooms.picture(image) for image in images)
    display = picture_of(tmp_path / "washer.png", "洗衣机", "故障代码 E2")
    shown_fault = only(Decision, turn(assistant, image=display, language="zh"))
    assert shown_fault[-1].skill == "repair"


def test_a_picture_without_text_is_said_to_be_unreadable(
    assistant: Assistant, tmp_path: Path
) -> None:
    events = turn(assistant, image=picture_of(tmp_path / "white.png", ""), language="zh")
    assert only(Decision, events)[-1].kind == "clarify"
    assert shown(events).strip()


# ---- voice ----


@pytest.fixture(scope="module")
def spoken(rooms: Rooms) -> Iterator[dict[str, bytes]]:
    yield {
        "zh": wav_bytes(rooms.say_all("我上周买的外套不合适，能退吗？", "zh", "")),
        "en": wav_bytes(
            rooms.say_all(
                "I bought a coat last week and it does not fit. Can I return it?", "en", ""
            )
        ),
    }


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_spoken_question_gets_a_spoken_answer(
    assistant: Assistant, spoken: dict[str, bytes], language: str
) -> None:
    events = turn(assistant, audio=spoken[language], speak=True)
    (heard,) = only(Transcript, events)
    assert heard.language == language
    assert heard.final
    assert isinstance(events[0], Transcript)
    speech = only(Speech, events)
    assert speech
    assert sum(s.audio.seconds for s in speech) > 2
    assert all(np.isfinite(s.audio.samples).all() for s in speech)
    done = events[-1]
    assert isinstance(done, Done)
    assert done.sources == ("returns#clothing",)
    assert done.transcript == heard.text


def test_silence_is_said_to_be_silence(assistant: Assistant) -> None:
    quiet = io.BytesIO()
    soundfile.write(quiet, np.zeros(16_000, dtype=np.float32), 16_000, format="WAV")
    done = ask(assistant, audio=quiet.getvalue())
    assert (done.transcript, done.decision) == ("", "clarify")
    assert done.reply


# ---- the language model ----


def test_an_open_question_is_answered_by_the_model_from_the_passages(
    assistant: Assistant, settings: Settings, rooms: Rooms
) -> None:
    fact = Passage("faq#gift", "Gift wrapping", "Gift wrapping costs 5 yuan at the service desk.",
                   "en", "faq", "faq", 0.7)  # fmt: skip
    draft = plan_answer(
        "How much is gift wrapping?", Evidence((fact,)), rooms.pack, "en", can_generate=True
    )
    assert draft.prompt
    said = "".join(rooms.generate(draft.prompt, threading.Event()))
    assert "5" in said
