"""Whether the money is back."""

from __future__ import annotations

from edge_runtime.dialogue import localize
from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.dialogue.skills.orders import about, find_own_order, order_source


class RefundStatus:
    """The refund of an order, told to its owner."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        order = find_own_order(request)
        if isinstance(order, SkillOutcome):
            return order
        request = about(request, order, own=True)
        values = {"order_id": order.id, "amount": localize.amount(order.total)}
        reply = "refund_status_none" if order.refund == "none" else f"refund_{order.refund}"
        if order.refund == "pending":
            due = order.refund_due or request.today
            values["days"] = str(max(1, (due - request.today).days))
        return SkillOutcome(reply, request.state, values, sources=(order_source(order),))
