"""Where an order is and when it comes."""

from __future__ import annotations

from edge_runtime.dialogue import localize
from edge_runtime.dialogue.base import Order
from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.dialogue.skills.orders import (
    MAX_LISTED,
    about,
    find_order,
    is_owner,
    order_card,
    order_source,
)
from edge_runtime.turn import Card


class OrderStatus:
    """Status and day by order number alone; the address only for the order's owner."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        if not request.slot("order_id") and request.customer_id:
            orders = request.shop.orders_of(request.customer_id)
            if len(orders) > 1:
                return self._list(request, orders)
        order = find_order(request)
        if isinstance(order, SkillOutcome):
            return order
        request = about(request, order, own=is_owner(request, order))
        arrives = order.delivered if order.status == "delivered" else order.eta
        values = {
            "order_id": order.id,
            "items": localize.items(order, request.shop, request.language),
            "eta": localize.day(arrives, request.language),
            "carrier": localize.carrier(order.carrier, request.language),
        }
        return SkillOutcome(
            f"order_status_{order.status}",
            request.state,
            values,
            cards=(order_card(request, order),),
            sources=(order_source(order),),
        )

    def _list(self, request: SkillRequest, orders: tuple[Order, ...]) -> SkillOutcome:
        shown = orders[:MAX_LISTED]
        names = [
            f"{order.id} ({localize.items(order, request.shop, request.language)})"
            for order in shown
        ]
        values = {
            "count": str(len(orders)),
            "orders": localize.joined(names, request.language),
        }
        return SkillOutcome(
            "order_list",
            request.state,
            values,
            cards=(Card("buttons", buttons=tuple(order.id for order in shown)),),
            sources=tuple(order_source(order) for order in shown),
            awaiting="order_id",
        )
