"""Sending an order somewhere else while that is still possible."""

from __future__ import annotations

from edge_runtime.dialogue import localize
from edge_runtime.dialogue.base import CHANGEABLE, Order
from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.dialogue.skills.orders import about, find_own_order, order_card, order_source
from edge_runtime.dialogue.state import CONFIRM


class ChangeAddress:
    """Order, owner, new address, a yes, and only then the change."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        order = find_own_order(request)
        if isinstance(order, SkillOutcome):
            return order
        request = about(request, order, own=True)
        state, address = request.state, request.state.slot("address")
        if order.status not in CHANGEABLE:
            return self._too_late(request, order)
        if not address:
            return SkillOutcome("ask_address", state, awaiting="address")
        values = {"order_id": order.id, "address": address}
        if not request.confirmed:
            return SkillOutcome("address_confirm", state, values, awaiting=CONFIRM)
        if not request.shop.change_address(order.id, address):
            return self._too_late(request, order)
        changed = request.shop.order(order.id) or order
        return SkillOutcome(
            "address_changed",
            state.forget("address"),
            values,
            cards=(order_card(request, changed),),
            sources=(order_source(order),),
        )

    def _too_late(self, request: SkillRequest, order: Order) -> SkillOutcome:
        status = localize.status(order, request.pack, request.language)
        return SkillOutcome(
            "address_too_late",
            request.state.forget("address"),
            {"order_id": order.id, "status": status},
            sources=(order_source(order),),
        )
