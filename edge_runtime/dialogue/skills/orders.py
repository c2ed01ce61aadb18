"""What all skills about an order share: which order, and whether it may be spoken of."""

from __future__ import annotations

from dataclasses import replace

from edge_runtime.dialogue import localize
from edge_runtime.dialogue.base import Order
from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.turn import Card

MAX_WRONG_ANSWERS = 3
"""Wrong phone digits in one session after which a person takes over."""
MAX_LISTED = 3


def find_order(request: SkillRequest) -> Order | SkillOutcome:
    """The order that is meant, or the question that finds it out."""
    wanted = request.slot("order_id")
    if wanted:
        order = request.shop.order(wanted)
        if order:
            return order
        state = request.state.forget("order_id")
        return SkillOutcome("order_not_found", state, {"order_id": wanted}, awaiting="order_id")
    orders = request.shop.orders_of(request.customer_id) if request.customer_id else ()
    if len(orders) == 1:
        return orders[0]
    buttons = tuple(order.id for order in orders[:MAX_LISTED])
    cards = (Card("buttons", buttons=buttons),) if buttons else ()
    return SkillOutcome("ask_order_id", request.state, cards=cards, awaiting="order_id")


def find_own_order(request: SkillRequest) -> Order | SkillOutcome:
    """As :func:`find_order`, once the customer is known to be the one who placed it.

    That is the customer the device knows, or whoever names the last four digits of the order's
    phone number; wrong answers are counted, by session here and by order and day in the shop.
    """
    order = find_order(request)
    if isinstance(order, SkillOutcome) or is_owner(request, order):
        return order
    state = request.state.remember("order_id", order.id)
    given = request.decision.slots.get("phone_last4", "")
    if not given:
        return SkillOutcome("ask_phone_last4", state, awaiting="phone_last4")
    answer = request.shop.verify(order.id, given)
    if answer == "ok":
        return order
    failures = state.verify_failures + 1
    state = replace(state, verify_failures=failures)
    failed = SkillOutcome("verify_failed", state, awaiting="phone_last4")
    return failed.over() if answer == "locked" or failures >= MAX_WRONG_ANSWERS else failed


def is_owner(request: SkillRequest, order: Order) -> bool:
    """Whether this customer is already known to have placed the order."""
    known = bool(request.customer_id) and order.customer == request.customer_id
    return known or order.id in request.state.verified


def about(request: SkillRequest, order: Order, *, own: bool) -> SkillRequest:
    """The request with ``order`` remembered, and as this customer's own where that is proved."""
    state = request.state.remember("order_id", order.id)
    return replace(request, state=state.verify(order.id) if own else state)


def order_card(request: SkillRequest, order: Order) -> Card:
    """The order on the screen; where it goes is only shown to whom it belongs."""
    language = request.language
    lines = [localize.status(order, request.pack, language)]
    lines.append(localize.items(order, request.shop, language))
    if order.eta and order.status not in ("delivered", "cancelled", "returned"):
        lines.append(localize.day(order.eta, language))
    if is_owner(request, order):
        lines += [order.address, localize.money(order.total)]
    return Card("order", title=order.id, body="\n".join(line for line in lines if line))


def order_source(order: Order) -> str:
    """How a reply names the order as its source."""
    return f"order:{order.id}"
