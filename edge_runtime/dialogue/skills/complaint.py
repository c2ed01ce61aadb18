"""Writing down a complaint."""

from __future__ import annotations

from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest


class Complaint:
    """Each complaint is on record; the customer keeps the number of the session's first one."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        state, text = request.state, request.understanding.text
        known = state.slot("ticket")
        number = request.shop.record_complaint(request.turn_key, request.customer_id, text)
        ticket = known or number
        return SkillOutcome(
            "complaint_again" if known else "complaint_recorded",
            state.remember("ticket", ticket),
            {"ticket": ticket},
            sources=(f"ticket:{ticket}",),
        )
