"""What holds for any understanding and any state, and for any stored session text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from dialogue_kit import INTENTS, TODAY, Conversation, make_pack
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.dialogue import KNOWLEDGE, Dialogue, Pending, SessionState, SqliteShop
from edge_runtime.dialogue.skills.registry import BUILT_IN
from edge_runtime.dialogue.state import SlotValue
from edge_runtime.dialogue.templates import fill
from edge_runtime.errors import StorageError
from edge_runtime.packs.schema import Pack
from edge_runtime.turn import OUT_OF_SCOPE, Entity, PictureText, Understanding

NAMES = [intent.name for intent in INTENTS]
TYPES = ["order_id", "product", "category", "address", "phone", "yes_no", "number", "pack's own"]
AWAITED = ["order_id", "address", "confirm", "choice", "receipt", "phone_last4", "reason", "?"]

share = st.floats(0, 1)
text = st.one_of(st.text(max_size=30), st.sampled_from(["是", "那外套呢?", "1234", "算了", "E3"]))
values = st.one_of(text, st.sampled_from(["R20261101001", "P1", "food", "yes", "no"]))
intents = st.sampled_from([*NAMES, OUT_OF_SCOPE, "no such intent", ""])
entities = st.builds(
    Entity, st.sampled_from(TYPES), values, text, st.integers(-5, 40), st.integers(-5, 40)
)
understandings = st.builds(
    Understanding,
    text=text,
    normalized=text,
    language=st.sampled_from(["zh", "en", "es", "fr", ""]),
    intent=intents,
    intent_confidence=share,
    sentiment=st.sampled_from(["negative", "neutral", "positive"]),
    sentiment_confidence=share,
    entities=st.lists(entities, max_size=4).map(tuple),
    candidates=st.lists(st.tuples(intents, share), max_size=4).map(tuple),
)
pendings = st.builds(
    Pending,
    intent=intents,
    skill=st.sampled_from([*BUILT_IN, "", "gone"]),
    awaiting=st.sampled_from(AWAITED),
    reply=st.sampled_from(["", "ask_order_id", "cancel_confirm"]),
    values=st.dictionaries(st.just("order_id"), values, max_size=1),
    options=st.lists(intents, max_size=2).map(tuple),
)
slots = st.dictionaries(
    st.sampled_from([*TYPES, "reason", "ticket", "receipt_total"]),
    st.builds(SlotValue, values, st.integers(0, 9)),
    max_size=6,
)
states = st.builds(
    SessionState,
    session=st.text(max_size=20),
    language=st.sampled_from(["", "zh", "en", "xx"]),
    turns=st.integers(0, 1_000_000),
    active_at=st.floats(0, 1e10),
    customer=st.sampled_from(["", "C1", "nobody"]),
    last_intent=intents,
    last_reply=text,
    slots=slots,
    pending=st.one_of(st.none(), pendings),
    verified=st.lists(st.just("R20261101001"), max_size=1).map(tuple),
    complaints=st.integers(0, 1_000_000),
    clarify_attempts=st.integers(0, 5),
    handed_over=st.booleans(),
)
pictures = st.one_of(
    st.none(),
    st.builds(
        PictureText,
        text=text,
        lines=st.just(()),
        fields=st.dictionaries(
            st.sampled_from(["merchant", "date", "total", "number"]), values, max_size=4
        ),
        confidence=share,
    ),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pack, Dialogue]:
    root = tmp_path_factory.mktemp("properties")
    pack = make_pack(root / "pack")
    return pack, Dialogue(pack, SqliteShop(root / "shop.db", pack, today=lambda: TODAY))


@settings(max_examples=300, deadline=None)
@given(understandings, states, pictures, st.sampled_from(["", "C1", "C2"]), st.booleans())
def test_every_decision_is_valid_and_can_be_carried_out(
    small: tuple[Pack, Dialogue],
    understanding: Understanding,
    state: SessionState,
    picture: PictureText | None,
    user: str,
    abusive: bool,
) -> None:
    pack, dialogue = small
    minimum = pack.escalation.min_confidence
    customer = dialogue.customer(user)
    decision, after = dialogue.decide(
        understanding, state, customer=customer, picture=picture, abusive=abusive, now=1e6
    )
    if decision.kind == "answer" and not decision.reply:
        assert decision.topic or decision.reason == KNOWLEDGE
        decision, after = dialogue.on_no_evidence(decision, after)
    assert decision.kind not in ("answer", "skill") or decision.confidence >= minimum
    assert decision.kind != "skill" or decision.skill in BUILT_IN
    key, values = decision.reply, dict(decision.values)
    if decision.kind in ("skill", "handover"):
        outcome = dialogue.run_skill(
            decision,
            understanding,
            after,
            customer=customer,
            picture=picture,
            retrieve=lambda query, topic: (),
            today=TODAY,
        )
        key, after, values = outcome.reply, outcome.state, values | dict(outcome.values)
    assert isinstance(dialogue.render(key, after.language, values), str)
    assert SessionState.from_json(after.to_json(), session=state.session) == after


@given(states)
def test_state_survives_json(state: SessionState) -> None:
    assert SessionState.from_json(state.to_json(), session="other") == state


@given(st.one_of(st.text(max_size=200), st.recursive(st.none() | st.text(), st.lists).map(str)))
def test_stored_rubbish_is_refused(stored: str) -> None:
    with pytest.raises(StorageError):
        SessionState.from_json(stored, session="s")


@pytest.mark.parametrize(
    "damage",
    [
        {"turns": "3"},
        {"turns": -1},
        {"surprise": 1},
        {"slots": {"order_id": "R1"}},
        {"last_reply": "x" * 5000},
        {"session": 7},
    ],
)
def test_damaged_state_is_refused(damage: dict[str, object]) -> None:
    stored = json.loads(SessionState("s").to_json())
    stored["state"] |= damage
    with pytest.raises(StorageError, match="damaged"):
        SessionState.from_json(json.dumps(stored), session="s")


def test_state_of_another_version_starts_afresh() -> None:
    stored = json.loads(SessionState("s").remember("order_id", "R1").to_json())
    stored["version"] = 99
    fresh = SessionState.from_json(json.dumps(stored), session="s")
    assert fresh == SessionState("s")


def test_oversized_and_deeply_nested_state_is_refused() -> None:
    for stored in ("[" * 60_000, " " * 100_000):
        with pytest.raises(StorageError):
            SessionState.from_json(stored, session="s")


@given(st.lists(st.tuples(st.text(max_size=130), st.text(max_size=900)), max_size=60))
def test_memory_stays_bounded(said: list[tuple[str, str]]) -> None:
    state = SessionState("s")
    for turn, (name, value) in enumerate(said):
        state = replace(state, turns=turn).remember(name[:100], value)
    assert len(state.slots) <= 32
    assert SessionState.from_json(state.to_json(), session="s") == state


@given(st.dictionaries(st.sampled_from(["name", "order_id"]), st.text(max_size=50)))
def test_values_are_pasted_and_never_interpreted(values: dict[str, str]) -> None:
    assert fill("{name.__class__}{name[0]}{order_id}", {}) == "{name.__class__}{name[0]}"
    hostile = {**values, "name": "{order_id.__class__} {0}"}
    assert "{order_id.__class__} {0}" in fill("a {name}", hostile)


def test_pack_update_between_turns_leaves_no_dangling_question(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack")
    shop = SqliteShop(tmp_path / "shop.db", pack, today=lambda: TODAY)
    chat = Conversation(Dialogue(pack, shop))
    chat.say("取消订单", "cancel_order")
    kept = {name: intent for name, intent in pack.intents.items() if name != "cancel_order"}
    chat.dialogue = Dialogue(replace(pack, intents=kept), shop)
    assert chat.say("R20261101001", confidence=0.2) == "[zh:clarify]"
