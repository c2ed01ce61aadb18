"""The whole room on the real encoder and a small pack."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import EngineError, PackError, TextError
from edge_runtime.nlu import Encoder, Understander
from edge_runtime.nlu.heads import load_intents
from edge_runtime.packs.schema import Pack
from edge_runtime.turn import OUT_OF_SCOPE

pytestmark = pytest.mark.models


@pytest.fixture(scope="session")
def understander(pack: Pack, encoder: Encoder, nlu_cache: Path) -> Understander:
    return Understander(pack, encoder, nlu_cache, today=lambda: date(2026, 11, 24)).prepare()


@pytest.mark.parametrize(
    ("text", "language", "intent"),
    [
        ("麻烦看下我的包裹走到哪里了", "zh", "order_status"),
        ("could you tell me where my parcel is", "en", "order_status"),
        ("¿y mi paquete, dónde está?", "es", "order_status"),
        ("买大了,想退掉", "zh", "return_request"),
        ("you guys open on saturdays?", "en", "opening_hours"),
        ("我想和真人说话", "zh", "human_agent"),
        ("Wo ist mein Paket?", "de", "order_status"),
        ("Je voudrais parler à une personne", "fr", "human_agent"),
        ("返品して返金してほしい", "ja", "return_request"),
        ("where is my order AB1234567", "en", "order_status"),
    ],
)
def test_intents_are_recognised_also_in_languages_without_examples(
    understander: Understander, text: str, language: str, intent: str
) -> None:
    found = understander.understand(text)
    assert (found.language, found.intent) == (language, intent)
    assert found.candidates[0][0] == intent
    assert len(found.candidates) == 3
    assert 0.5 <= found.intent_confidence <= 1.0


@pytest.mark.parametrize(
    "text",
    [
        "who won the basketball game last night",
        "帮我写一首关于春天的诗",
        "cuál es la capital de Australia",
        "explain the theory of relativity",
        "Wie hoch ist der Mount Everest?",
    ],
)
def test_what_the_shop_does_not_do_is_out_of_scope(understander: Understander, text: str) -> None:
    found = understander.understand(text)
    assert found.intent == OUT_OF_SCOPE
    assert all(name != OUT_OF_SCOPE for name, _ in found.candidates)


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("我要退货", "neutral"),
        ("where is my order", "neutral"),
        ("你们的服务太差了,气死我了", "negative"),
        ("this is terrible, I am furious", "negative"),
        ("muchas gracias, excelente atención", "positive"),
        ("质量非常好,很满意", "positive"),
        ("Das ist eine Frechheit, ich bin sehr enttäuscht", "negative"),
    ],
)
def test_sentiment_and_neutral_requests_stay_neutral(
    understander: Understander, text: str, sentiment: str
) -> None:
    assert understander.understand(text).sentiment == sentiment


def test_entities_refer_to_the_normalised_text(understander: Understander) -> None:
    found = understander.understand("嗯,我上周五买的外套,订单号12345678,想退退退!!!")
    values = {item.type: item.value for item in found.entities}
    assert values["date"] == "2026-11-20"
    assert values["category"] == "coats"
    assert values["order_id"] == "12345678"
    for item in found.entities:
        assert found.normalized[item.start : item.end] == item.text


def test_the_callers_language_is_not_questioned(understander: Understander) -> None:
    assert understander.understand("hola", language="en").language == "en"


def test_many_at_once_equal_one_by_one(understander: Understander) -> None:
    texts = ["我要退货", "when do you close", "hola"]
    together = understander.understand_many(texts)
    for text, found in zip(texts, together, strict=True):
        alone = understander.understand(text)
        assert (found.intent, found.sentiment) == (alone.intent, alone.sentiment)


@pytest.mark.parametrize("text", ["", "\x00", "!!!", "x" * 1_000_000])
def test_unreadable_text_is_refused_and_the_next_turn_unharmed(
    understander: Understander, text: str
) -> None:
    with pytest.raises(TextError):
        understander.understand(text)
    assert understander.understand("我要退货").intent == "return_request"


@pytest.mark.parametrize(
    "text", ["👍", "12345678", "<s></s>", "\u202e退货\u202c", "a" * 5000, "🙂" * 500]
)
def test_odd_text_gets_an_answer(understander: Understander, text: str) -> None:
    assert 0.0 <= understander.understand(text).intent_confidence <= 1.0


def test_the_second_start_trains_nothing(
    understander: Understander, pack: Pack, nlu_cache: Path
) -> None:
    class Refusing:
        fingerprint = understander._encoder.fingerprint

        def encode(self, texts: object, kind: object) -> np.ndarray:
            raise AssertionError("the cache was not used")

    steps: list[tuple[str, float]] = []
    Understander(pack, Refusing(), nlu_cache).prepare(lambda *step: steps.append(step))
    assert steps[-1] == ("ready", 1.0)


def test_a_damaged_classifier_is_trained_anew(
    understander: Understander, pack: Pack, encoder: Encoder, nlu_cache: Path
) -> None:
    for path in nlu_cache.glob("sentiment-*.npz"):
        path.write_bytes(b"PK\x03\x04 broken")
    healed = Understander(pack, encoder, nlu_cache).prepare()
    assert healed.understand("太差了").sentiment == "negative"


def test_a_pack_without_examples_is_refused(pack: Pack, encoder: Encoder, nlu_cache: Path) -> None:
    empty = dataclasses.replace(pack, intents={})
    with pytest.raises(PackError):
        Understander(empty, encoder, nlu_cache).prepare()


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    with path.open("wb") as file:
        np.savez(file, classes=np.array([{}], dtype=object))
    with pytest.raises(EngineError):
        load_intents(path.read_bytes())
