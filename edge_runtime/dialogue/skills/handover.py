"""Calling a person, with what they need to know to go on."""

from __future__ import annotations

from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.turn import Card


class Handover:
    """The reply the policy chose, and a card that says what it is about."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        decision, state = request.decision, request.state
        ticket = state.slot("ticket")
        if decision.reason == "complaints":
            text = request.understanding.text
            number = request.shop.record_complaint(request.turn_key, request.customer_id, text)
            ticket = ticket or number
            state = state.remember("ticket", ticket)
        known = (request.customer_id, state.slot("order_id"), ticket, state.last_intent)
        body = " · ".join(part for part in known if part)
        reply = decision.reply or "handover"
        card = Card("handover", body=body)
        return SkillOutcome(reply, state, decision.values, cards=(card,)).over()
