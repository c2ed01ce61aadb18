"""What things cost, whether they are there, and what else there is."""

from __future__ import annotations

from edge_runtime.dialogue import localize
from edge_runtime.dialogue.base import Product
from edge_runtime.dialogue.skills.base import SkillOutcome, SkillRequest
from edge_runtime.turn import Card

MAX_OFFERED = 3


class PriceStock:
    """Price and stock of the product that was named, now or before."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        wanted, category = request.slot("product"), request.slot("category")
        product = request.shop.product(wanted) if wanted else None
        if product is None and wanted:
            product = next(iter(request.shop.products(wanted, limit=1)), None)
        if product is None and wanted:
            state = request.state.forget("product")
            return SkillOutcome("product_not_found", state, {"product": wanted}, awaiting="product")
        if product is None and category:
            return _offer(request, category)
        if product is None:
            return SkillOutcome("ask_product", request.state, awaiting="product")
        values = {
            "product": product.name(request.language),
            "price": localize.amount(product.price),
            "count": str(product.stock),
        }
        return SkillOutcome(
            "price_stock" if product.stock else "stock_out",
            request.state.remember("product", product.id),
            values,
            cards=(product_card(product, request.language),),
            sources=(product_source(product),),
        )


class Recommend:
    """A few things in stock, of the kind that was spoken of."""

    def run(self, request: SkillRequest) -> SkillOutcome:
        category = request.slot("category")
        product = request.shop.product(request.slot("product"))
        return _offer(request, category or (product.category if product else ""))


def _offer(request: SkillRequest, category: str) -> SkillOutcome:
    shop, language = request.shop, request.language
    products = shop.in_category(category, limit=MAX_OFFERED) or shop.in_category(
        "", limit=MAX_OFFERED
    )
    if not products:
        return SkillOutcome("no_evidence", request.state)
    names = [f"{p.name(language)} ({localize.money(p.price)})" for p in products]
    return SkillOutcome(
        "recommend",
        request.state,
        {"products": localize.joined(names, language)},
        cards=tuple(product_card(product, language) for product in products),
        sources=tuple(product_source(product) for product in products),
    )


def product_card(product: Product, language: str) -> Card:
    """The product on the screen."""
    name, price = product.name(language), localize.money(product.price)
    return Card("product", title=name, body=price, image=product.image)


def product_source(product: Product) -> str:
    """How a reply names the product as its source; also its passage's id."""
    return f"products#{product.id}"
