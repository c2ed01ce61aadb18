"""The shop's records and the ``ShopData`` protocol that the skills work against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal, Protocol

OrderStatus = Literal[
    "placed", "packed", "shipped", "out_for_delivery", "delivered", "cancelled", "returned"
]
RefundStatus = Literal["none", "pending", "done"]
Verification = Literal["ok", "wrong", "locked"]

ORDER_STATUSES: tuple[OrderStatus, ...] = (
    "placed",
    "packed",
    "shipped",
    "out_for_delivery",
    "delivered",
    "cancelled",
    "returned",
)
CHANGEABLE: tuple[OrderStatus, ...] = ("placed", "packed")
"""Before the carrier has it, an order can still be cancelled or sent elsewhere."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody the shop knows. ``tier`` names a ``VipTier`` of the pack or is empty."""

    id: str
    name: str
    phone: str = ""
    tier: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """Something the shop sells; ``names`` maps language to name, ``image`` is pack-relative."""

    id: str
    names: Mapping[str, str]
    category: str
    price: Decimal
    stock: int
    image: str = ""

    def name(self, language: str) -> str:
        """The name in ``language``, else in English, else in any language, else the id."""
        known = (self.names.get(language), self.names.get("en"), *self.names.values(), self.id)
        return next(name for name in known if name)


@dataclass(frozen=True, slots=True)
class OrderItem:
    """So many pieces of one product, by product id."""

    product: str
    quantity: int = 1


@dataclass(frozen=True, slots=True)
class Order:
    """One order. ``eta`` is when it should arrive, ``delivered`` when it did; ``refund_due`` is
    when a pending refund of the total should be back."""

    id: str
    customer: str
    status: OrderStatus
    placed: date
    items: tuple[OrderItem, ...]
    total: Decimal
    eta: date | None = None
    delivered: date | None = None
    carrier: str = ""
    address: str = ""
    phone: str = ""
    refund: RefundStatus = "none"
    refund_due: date | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """A branch; ``names`` maps language to name."""

    id: str
    names: Mapping[str, str]
    hours: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an invoice is issued for: the till receipt's own number, day and total."""

    merchant: str
    day: date
    total: Decimal
    number: str


class ShopData(Protocol):
    """The shop's own records. Every method may raise ``StorageError``.

    Writes are transactional and idempotent: asked twice, they answer the same and change nothing
    more, so that a turn repeated after a crash does no harm.
    """

    def customer(self, key: str) -> Customer | None:
        """The customer with this id or phone number."""
        ...

    def order(self, text: str) -> Order | None:
        """The order whose number this is, written or heard imprecisely, when only one fits."""
        ...

    def orders_of(self, customer: str) -> tuple[Order, ...]:
        """This customer's orders, latest first."""
        ...

    def verify(self, order_id: str, last4: str) -> Verification:
        """Compare with the phone of the order; too many wrong answers a day lock the order."""
        ...

    def product(self, product_id: str) -> Product | None:
        """The product with this id."""
        ...

    def products(self, query: str, *, limit: int = 3) -> tuple[Product, ...]:
        """Products whose id or name in any language is close to ``query``, best first."""
        ...

    def in_category(self, category: str, *, limit: int = 3) -> tuple[Product, ...]:
        """Products in stock, best stocked first; every category when ``category`` is empty."""
        ...

    def stores(self) -> tuple[Store, ...]:
        """The shop's branches."""
        ...

    def change_address(self, order_id: str, address: str) -> bool:
        """Send the order elsewhere; False when the carrier already has it."""
        ...

    def cancel(self, order_id: str) -> bool:
        """Cancel the order; False when the carrier already has it."""
        ...

    def start_return(self, order_id: str, reason: str) -> str:
        """Open the order's return, or find the one already open; gives the return's number."""
        ...

    def start_exchange(self, order_id: str, wanted: str) -> str:
        """Open the order's exchange for ``wanted``, or find it; gives the exchange's number."""
        ...

    def issue_invoice(self, receipt: Receipt, title: str) -> str:
        """Issue the receipt's invoice, or find the one already issued; gives its number."""
        ...

    def record_complaint(self, key: str, customer: str, text: str) -> str:
        """Open a ticket, once for each ``key``; gives the ticket's number."""
        ...
