"""Taking goods back, or swapping them, as far as the shop's policy goes."""

from __future__ import annotations

from edge_runtime.dialogue import localize
from edge_runtime.dialogue.base import Order
from edge_runtime.dialogue.guidelines import Guideline
from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.dialogue.skills.orders import about, find_own_order, order_source


class Return:
    """Order, owner, what the policy says about these goods, the reason, the return."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        order = find_own_order(request)
        if isinstance(order, SkillOutcome):
            return order
        request = about(request, order, own=True)
        refusal = refused_by_policy(request, order, "returns")
        if refusal:
            return refusal
        reason = request.slot("reason")
        if not reason:
            return SkillOutcome("ask_reason", request.state, awaiting="reason")
        values = {
            "order_id": order.id,
            "items": localize.items(order, request.shop, request.language),
            "return_id": request.shop.start_return(order.id, reason),
        }
        state = request.state.forget("reason")
        return SkillOutcome("return_started", state, values, sources=(order_source(order),))


class Exchange:
    """Order, owner, what the policy says about these goods, the wish, the exchange."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        order = find_own_order(request)
        if isinstance(order, SkillOutcome):
            return order
        request = about(request, order, own=True)
        refusal = refused_by_policy(request, order, "exchange")
        if refusal:
            return refusal
        wanted = request.slot("exchange_for")
        if not wanted:
            return SkillOutcome("ask_exchange_for", request.state, awaiting="exchange_for")
        number = request.shop.start_exchange(order.id, wanted)
        values = {"order_id": order.id, "exchange_id": number}
        state = request.state.forget("exchange_for")
        return SkillOutcome("exchange_started", state, values, sources=(order_source(order),))


def refused_by_policy(request: SkillRequest, order: Order, topic: str) -> SkillOutcome | None:
    """The refusal, with the policy's own words as its reason, or ``None`` when all is well.

    One thing in the order that may go back is enough for the return to be opened: the shop sorts
    out the rest. An order that was cancelled or sent back has nothing to return.
    """
    if order.status in ("cancelled", "returned"):
        reason = localize.status(order, request.pack, request.language)
        sources = (order_source(order),)
        return SkillOutcome(
            "return_not_allowed", request.state, {"reason": reason}, sources=sources
        )
    guidelines = _guidelines(request, order, topic)
    if guidelines and all(guideline.refused for guideline in guidelines):
        return _quoted(
            "return_not_allowed", {"reason": guidelines[0].reason}, request, guidelines[0]
        )
    allowed = [guideline for guideline in guidelines if not guideline.refused]
    # Unknown periods refuse nothing; of several, the longest counts.
    if order.delivered and allowed and all(guideline.days is not None for guideline in allowed):
        widest = max(allowed, key=lambda guideline: guideline.days or 0)
        if (request.today - order.delivered).days > (widest.days or 0):
            values = {"order_id": order.id, "days": str(widest.days)}
            return _quoted("return_expired", values, request, widest)
    return None


def _guidelines(request: SkillRequest, order: Order, topic: str) -> list[Guideline]:
    """What applies to each thing in the order, or only to the one the customer speaks of."""
    ordered = [item.product for item in order.items]
    meant = request.slot("product")
    products = [request.shop.product(p) for p in ([meant] if meant in ordered else ordered)]
    categories = dict.fromkeys(product.category for product in products if product)
    topics = (topic, "returns") if topic != "returns" else (topic,)
    found = [
        next(
            (
                guideline
                for name in topics
                if (guideline := request.guidelines.of(name, category, request.language))
            ),
            None,
        )
        for category in categories
    ]
    return [guideline for guideline in found if guideline]


def _quoted(
    reply: str, values: dict[str, str], request: SkillRequest, guideline: Guideline
) -> SkillOutcome:
    passage = guideline.passage
    return SkillOutcome(reply, request.state, values, sources=(passage.id,), passages=(passage,))
