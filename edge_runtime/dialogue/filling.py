"""From what was said to slot values: what is remembered, and what answers a pending question."""

from __future__ import annotations

import re

from edge_runtime.dialogue.state import Pending, SessionState
from edge_runtime.dialogue.wording import has_words
from edge_runtime.packs import Intent
from edge_runtime.turn import Entity, Understanding

REMEMBERED = frozenset({"order_id", "product", "category", "address"})
"""Entity types kept over turns. Phone numbers and names are used at once and not kept."""

FREE_TEXT = frozenset({"reason", "symptom", "invoice_title", "exchange_for", "address", "product"})
"""Slots that any words can fill when no entity was found."""

NOT_VOLUNTEERED = frozenset({"phone_last4", "reason", "symptom", "invoice_title", "exchange_for"})
"""Slots that only an answer to their own question fills, whatever entity stands in other turns."""

_ORDER_NUMBER = re.compile(r"[A-Za-z]{0,4}[-\s]?\d[\d\s-]{2,30}\d")
_LAST_FOUR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_SEPARATORS = re.compile(r"[\s.,-]+")
_STALE_WITH = {
    "product": ("category",),
    "category": ("product",),
    "order_id": ("address", "reason"),
}
MIN_ADDRESS_CHARS = 5


def remember_entities(understanding: Understanding, state: SessionState) -> SessionState:
    """``state`` with this turn's entities; what a new value makes meaningless is forgotten.

    When the turn names several values of one type, the first one stands.
    """
    first: dict[str, str] = {}
    for entity in understanding.entities:
        if entity.type in REMEMBERED and entity.value.strip():
            first.setdefault(entity.type, entity.value)
    for name, value in first.items():
        if state.slot(name) != value:
            state = state.forget(*(old for old in _STALE_WITH.get(name, ()) if old not in first))
        state = state.remember(name, value)
    return state


def fill_slots(intent: Intent, understanding: Understanding, state: SessionState) -> SessionState:
    """``state`` with this turn's entities under the names of the intent's own slots."""
    for slot in intent.slots:
        entity = first_entity(understanding, slot.entity)
        if entity and slot.name not in NOT_VOLUNTEERED:
            state = state.remember(slot.name, entity.value)
    return state


def answer_to(pending: Pending, intent: Intent | None, understanding: Understanding) -> str:
    """The value in this turn that fits what ``pending`` awaits, or an empty string.

    Only typed values count here; free text is taken by :func:`free_text`. ``intent`` is the
    pending one: its slots say which entity fills which.
    """
    wanted = pending.awaiting
    if wanted == "phone_last4":
        return _last_four(understanding)
    slots = intent.slots if intent else ()
    type_ = next((slot.entity for slot in slots if slot.name == wanted), wanted)
    entity = first_entity(understanding, type_)
    if entity:
        return entity.value
    if wanted == "order_id":
        found = _ORDER_NUMBER.search(understanding.normalized)
        return _SEPARATORS.sub("", found.group()) if found else ""
    return ""


def free_text(pending: Pending, understanding: Understanding) -> str:
    """The whole utterance as the awaited value, where words of any kind can be one."""
    text = understanding.text.strip() or understanding.normalized.strip()
    if pending.awaiting not in FREE_TEXT or not text:
        return ""
    if pending.awaiting == "address" and len(text) < MIN_ADDRESS_CHARS:
        return ""
    return text


def first_entity(understanding: Understanding, type_: str) -> Entity | None:
    """The first entity of ``type_`` that has a value."""
    found = (e for e in understanding.entities if e.type == type_ and e.value.strip())
    return next(found, None)


def is_bare(understanding: Understanding) -> bool:
    """Whether the utterance is hardly more than its entities, or than a number."""
    text = understanding.normalized.strip()
    covered: set[int] = set()
    for entity in understanding.entities:
        covered.update(range(max(0, entity.start), min(len(text), entity.end)))
    return not has_words(text) or 2 * len(covered) >= len(text)


def _last_four(understanding: Understanding) -> str:
    phone = first_entity(understanding, "phone")
    if phone:
        digits = re.sub(r"\D", "", phone.value)
        return digits[-4:] if len(digits) >= 4 else ""
    text = _SEPARATORS.sub("", understanding.normalized)
    found = _LAST_FOUR.findall(text)
    return found[-1] if found else ""
