"""From what was said to slot values: what is remembered, and what answers a pending question."""

from __future__ import annotations

import re

from edge_runtime.dialogue.state import Pending, SessionState
from edge_runtime.turn import Entity, Understanding

REMEMBERED = frozenset({"order_id", "product", "category", "address"})
"""Entity types kept over turns. Phone numbers and names are used at once and not kept."""

FREE_TEXT = frozenset({"reason", "symptom", "invoice_title", "exchange_for", "address", "product"})
"""Slots that any words can fill when no entity was found."""

_ENTITY_OF = {
    "exchange_for": "product",
    "phone_last4": "phone",
}
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


def answer_to(pending: Pending, understanding: Understanding) -> str:
    """The value in this turn that fits what ``pending`` awaits, or an empty string.

    Only typed values count here; free text is taken by :func:`free_text`.
    """
    wanted = pending.awaiting
    if wanted == "phone_last4":
        return _last_four(understanding)
    entity = first_entity(understanding, _ENTITY_OF.get(wanted, wanted))
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


def share_of_text(understanding: Understanding) -> float:
    """How much of the utterance its entities make up, in [0, 1]."""
    length = len(understanding.normalized.strip())
    if not length:
        return 0.0
    covered: set[int] = set()
    for entity in understanding.entities:
        start, end = max(0, entity.start), min(length, entity.end)
        covered.update(range(start, end))
    return len(covered) / length


def _last_four(understanding: Understanding) -> str:
    phone = first_entity(understanding, "phone")
    if phone:
        digits = re.sub(r"\D", "", phone.value)
        return digits[-4:] if len(digits) >= 4 else ""
    text = _SEPARATORS.sub("", understanding.normalized)
    found = _LAST_FOUR.findall(text)
    return found[-1] if found else ""
