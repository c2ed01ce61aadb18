"""Cancelling an order that has not left the house."""

from __future__ import annotations

from edge_runtime.dialogue.base import CHANGEABLE
from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.dialogue.skills.orders import about, find_own_order, order_source
from edge_runtime.dialogue.state import CONFIRM


class CancelOrder:
    """Order, owner, a yes, and only then the cancellation."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        order = find_own_order(request)
        if isinstance(order, SkillOutcome):
            return order
        request = about(request, order, own=True)
        values, sources = {"order_id": order.id}, (order_source(order),)
        if order.status in CHANGEABLE and not request.confirmed:
            return SkillOutcome("cancel_confirm", request.state, values, awaiting=CONFIRM)
        done = request.shop.cancel(order.id)
        reply = "cancelled" if done else "cancel_too_late"
        return SkillOutcome(reply, request.state, values, sources=sources)
