"""What the policy can do: each move builds the decision and the state that follows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edge_runtime.dialogue import filling, wording
from edge_runtime.dialogue.reading import Turn
from edge_runtime.dialogue.state import CHOICE, CONFIRM, Pending, SessionState
from edge_runtime.packs.schema import Intent, Pack
from edge_runtime.turn import Decision

Outcome = tuple[Decision, SessionState]

KNOWLEDGE = "knowledge"
"""Reason of an answer that may only be given from a passage that fits well."""
HANDOVER = "handover"
REPEAT = "repeat"
GOODBYE = "goodbye"

CERTAIN = 0.95
"""Confidence of a reading that rests on a question of ours and a fitting answer to it."""
CONTEXT_TURNS = 3
"""How many turns long a subject explains an elliptical follow-up."""
MIN_OPTION = 0.2
NEAR = 0.15
"""Two candidates closer than this are both offered."""

_USED_AT_ONCE = frozenset({"phone_last4", CONFIRM})
"""Answers that are never remembered."""
_ONE_USE = ("reason", "symptom", "invoice_title", "exchange_for")
"""Values that belong to the matter at hand and not to the next one."""


def serve(turn: Turn, intent: Intent, confidence: float, reason: str) -> Outcome:
    """Do what the pack says about ``intent``."""
    state = turn.state
    if intent.skill == HANDOVER:
        return hand_over(turn, reason, "", confidence)
    decision = Decision("answer", intent.name, confidence, reason)
    skill = REPEAT if intent.reply == "repeat_nothing" else intent.skill
    if skill:
        state = filling.fill_slots(intent, turn.said, state.forget(*_ONE_USE))
        return replace(decision, kind="skill", skill=skill, slots=_values(state)), state
    if intent.topic:
        return replace(decision, topic=intent.topic, slots=_subject(turn)), state
    if intent.reply == "greeting" and turn.tier and turn.customer:
        named = {"name": turn.customer.name}
        return replace(decision, reply=turn.tier.greeting, values=named), state
    if intent.reply == GOODBYE:
        state = state.fresh()
    return replace(decision, reply=intent.reply), state


def resume(turn: Turn, pending: Pending, given: Mapping[str, str]) -> Outcome:
    """Go on with the pending skill, with what the customer has just given."""
    state = turn.state
    for name, value in given.items():
        if name not in _USED_AT_ONCE:
            state = state.remember(name, value)
    slots = {**_values(state), **given}
    decision = Decision(
        "skill", pending.intent, CERTAIN, "pending", skill=pending.skill, slots=slots
    )
    return decision, state


def drop(turn: Turn, pending: Pending) -> Outcome:
    """Give up the pending matter because the customer no longer wants it."""
    receipt = [name for name in turn.state.slots if name.startswith("receipt_")]
    state = turn.state.forget(*_ONE_USE, "address", *receipt)
    decision = Decision("answer", pending.intent, CERTAIN, "declined", reply="cancelled_action")
    return decision, state


def look_up(turn: Turn) -> Outcome:
    """Let the pack's knowledge decide whether there is an answer."""
    said = turn.said
    decision = Decision(
        "answer", said.intent, said.intent_confidence, KNOWLEDGE, slots=_subject(turn)
    )
    return decision, turn.state


def ask(turn: Turn, reason: str, reply: str, values: Mapping[str, str] | None = None) -> Outcome:
    """Ask back, or call a person when that has not helped often enough."""
    attempts, confidence = turn.state.clarify_attempts, turn.said.intent_confidence
    if attempts >= turn.pack.escalation.clarify_attempts:
        return hand_over(turn, "low_confidence", "handover_low_confidence", confidence)
    state = replace(turn.state, clarify_attempts=attempts + 1)
    decision = Decision(
        "clarify", turn.said.intent, confidence, reason, reply=reply, values=values or {}
    )
    return decision, state


def clarify(turn: Turn) -> Outcome:
    """Ask what was meant; offer two readings when two are about equally likely."""
    if not turn.text:
        return ask(turn, "not_heard", "not_heard")
    best = [guess for guess in turn.candidates if guess[1] >= MIN_OPTION][:2]
    if len(best) < 2 or best[0][1] - best[1][1] > NEAR:
        return ask(turn, "unsure", "clarify")
    names = [name for name, _ in best]
    options = [_as_said(turn.pack, name, turn.state.language) for name in names]
    values = {"options": " / ".join(options), "option_1": options[0], "option_2": options[1]}
    decision, state = ask(turn, "two_readings", "clarify_choice", values)
    if decision.kind == "clarify":
        pending = Pending("", "", CHOICE, "clarify_choice", values, tuple(names))
        state = replace(state, pending=pending)
    return decision, state


def hand_over(turn: Turn, reason: str, reply: str, confidence: float) -> Outcome:
    """Call a person; a VIP is told so in the way of the tier."""
    decision = Decision("answer", turn.said.intent, confidence, reason)
    decision, state = handed_over(decision, turn.state, reply or HANDOVER)
    tier, customer = turn.tier, turn.customer
    if tier is None or customer is None:
        return decision, state
    values = {"name": customer.name, "tier": tier.name, "priority": str(tier.priority)}
    return replace(decision, reply=tier.handover, values=values), state


def handed_over(decision: Decision, state: SessionState, reply: str) -> Outcome:
    """``decision`` turned into calling a person, and the state with all counts at zero."""
    decision = replace(
        decision, kind="handover", skill=HANDOVER, topic="", reply=reply, slots=_values(state)
    )
    return decision, replace(
        state, pending=None, complaints=0, clarify_attempts=0, handed_over=True
    )


def offer_person(decision: Decision, state: SessionState, reply: str = "handover_offer") -> Outcome:
    """``decision`` turned into the question whether a person should take over; a yes is enough."""
    state = replace(state, pending=Pending(decision.intent, HANDOVER, CONFIRM, reply))
    return replace(decision, kind="clarify", reply=reply, topic=""), state


def _values(state: SessionState) -> dict[str, str]:
    return {name: slot.value for name, slot in state.slots.items()}


def _subject(turn: Turn) -> dict[str, str]:
    """Product and category a question is about: said now, or before and now leaned on."""
    state = turn.state
    reach = CONTEXT_TURNS if wording.leans_on_context(turn.text) else 0
    return {
        name: state.slot(name)
        for name in ("product", "category")
        if (age := state.slot_age(name)) is not None and age <= reach
    }


def _as_said(pack: Pack, intent: str, language: str) -> str:
    """The intent in a customer's words: a tap on it sends just that."""
    examples = pack.intents[intent].examples
    for spoken in (language, "en", pack.default_language):
        if examples.get(spoken):
            return examples[spoken][0]
    return pack.intents[intent].description


def has_remembered(intent: Intent, state: SessionState) -> bool:
    """Whether what ``intent`` needs was said a few turns ago."""
    needed = [slot.entity for slot in intent.slots if slot.entity in filling.REMEMBERED]
    ages = (state.slot_age(name) for name in needed)
    return any(age is not None and age <= CONTEXT_TURNS for age in ages)
