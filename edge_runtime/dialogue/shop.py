"""The shop's records in SQLite: the pack's sample data, and what customers had done to it.

The pack's tables are imported again whenever they change; what customers did is kept in tables of
its own and laid over them, so an update of the pack loses nobody's cancellation. Days are kept as
the pack's offsets from today and become dates when read: sample data never ages.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from edge_runtime.dialogue.base import (
    CHANGEABLE,
    Customer,
    Order,
    OrderItem,
    Product,
    Receipt,
    Store,
    Verification,
)
from edge_runtime.dialogue.database import Records, Row
from edge_runtime.dialogue.importing import TABLES, digest, read_tables
from edge_runtime.dialogue.matching import ProductIndex, order_digits, order_key, phone_key
from edge_runtime.dialogue.shop_tables import CREATE, ORDERS, PREFIXES
from edge_runtime.packs import Pack, parse_items

MAX_WRONG_A_DAY = 5
"""Wrong phone digits after which an order tells nobody anything until tomorrow."""
REFUND_DAYS = 3
MAX_DETAIL_CHARS = 2000


class SqliteShop:
    """``ShopData`` in one SQLite file.

    Args:
        path: the database file; created on first use.
        pack: whose tables it serves.
        today: the calendar day, for tests.

    Raises:
        StorageError: the file cannot be opened or written.
        PackError: a table of the pack is broken.
    """

    def __init__(self, path: Path, pack: Pack, *, today: Callable[[], date] = date.today) -> None:
        self._today = today
        self._records = Records(path)
        self._records.migrate(CREATE)
        self._import(pack)
        rows = self._records.query("SELECT * FROM products")
        self._index = ProductIndex(
            {row["id"]: (row["id"], *_names(row), *_aliases(row)) for row in rows}
        )

    def close(self) -> None:
        """Close the file; the shop cannot be used afterwards."""
        self._records.close()

    # Reading ----------------------------------------------------------------------------------

    def customer(self, key: str) -> Customer | None:
        rows = self._records.query("SELECT * FROM customers WHERE id = ?", key.strip())
        phone = phone_key(key)
        if not rows and phone:
            everybody = self._records.query("SELECT * FROM customers")
            rows = [row for row in everybody if phone_key(row["phone"]) == phone]
        if len(rows) != 1:
            return None
        row = rows[0]
        return Customer(row["id"], row["name"], row["phone"], row["tier"], row["language"])

    def order(self, text: str) -> Order | None:
        written, digits = order_key(text), order_digits(text)
        if not written:
            return None
        rows = self._records.query("SELECT id FROM orders")
        ids = [row["id"] for row in rows if order_key(row["id"]) == written]
        if not ids and digits:
            ids = [row["id"] for row in rows if order_digits(row["id"]) == digits]
        return self._order(ids[0]) if len(ids) == 1 else None

    def orders_of(self, customer: str) -> tuple[Order, ...]:
        latest_first = f"{ORDERS} WHERE o.customer = ? ORDER BY o.placed_day DESC, o.id DESC"
        return tuple(self._to_order(row) for row in self._records.query(latest_first, customer))

    def product(self, product_id: str) -> Product | None:
        rows = self._records.query("SELECT * FROM products WHERE id = ?", product_id.strip())
        return _to_product(rows[0]) if rows else None

    def products(self, query: str, *, limit: int = 3) -> tuple[Product, ...]:
        found = (self.product(product_id) for product_id in self._index.search(query, limit))
        return tuple(product for product in found if product)

    def in_category(self, category: str, *, limit: int = 3) -> tuple[Product, ...]:
        rows = self._records.query(
            "SELECT * FROM products WHERE stock > 0 AND (? = '' OR category = ?)"
            " ORDER BY stock DESC, id LIMIT ?",
            category,
            category,
            limit,
        )
        return tuple(_to_product(row) for row in rows)

    def stores(self) -> tuple[Store, ...]:
        rows = self._records.query("SELECT * FROM stores ORDER BY id")
        return tuple(
            Store(row["id"], json.loads(row["names"]), row["hours"], row["phone"]) for row in rows
        )

    # Writing ----------------------------------------------------------------------------------

    def verify(self, order_id: str, last4: str) -> Verification:
        day = self._today().isoformat()
        with self._records.transaction() as database:
            order = self._order(order_id)
            wrong = self._records.query(
                "SELECT count FROM wrong_answers WHERE order_id = ? AND day = ?", order_id, day
            )
            if order is None or (wrong and wrong[0]["count"] >= MAX_WRONG_A_DAY):
                return "locked"
            expected = phone_key(order.phone)[-4:]
            if len(expected) == 4 and expected == last4:
                return "ok"
            database.execute(
                "INSERT INTO wrong_answers VALUES (?, ?, 1)"
                " ON CONFLICT (order_id, day) DO UPDATE SET count = count + 1",
                [order_id, day],
            )
            return "wrong"

    def change_address(self, order_id: str, address: str) -> bool:
        with self._records.transaction() as database:
            order = self._order(order_id)
            if order is None or order.status not in CHANGEABLE:
                return False
            database.execute(
                "INSERT INTO order_changes (order_id, address) VALUES (?, ?)"
                " ON CONFLICT (order_id) DO UPDATE SET address = excluded.address",
                [order_id, address[:MAX_DETAIL_CHARS]],
            )
            return True

    def cancel(self, order_id: str) -> bool:
        with self._records.transaction() as database:
            order = self._order(order_id)
            if order is None or order.status not in (*CHANGEABLE, "cancelled"):
                return False
            if order.status != "cancelled":
                database.execute(
                    "INSERT INTO order_changes (order_id, status, refund, refund_day)"
                    " VALUES (?, 'cancelled', 'pending', ?) ON CONFLICT (order_id) DO UPDATE SET"
                    " status = excluded.status, refund = excluded.refund,"
                    " refund_day = excluded.refund_day",
                    [order_id, REFUND_DAYS],
                )
            return True

    def start_return(self, order_id: str, reason: str) -> str:
        return self._open_service("return", order_id, "", reason)

    def start_exchange(self, order_id: str, wanted: str) -> str:
        return self._open_service("exchange", order_id, "", wanted)

    def issue_invoice(self, receipt: Receipt, title: str) -> str:
        parts = (receipt.merchant, receipt.day.isoformat(), str(receipt.total), receipt.number)
        key = "|".join(unicodedata.normalize("NFKC", part).strip() for part in parts)
        return self._open_service("invoice", key, "", title)

    def record_complaint(self, key: str, customer: str, text: str) -> str:
        return self._open_service("complaint", key, customer, text)

    # Inside -----------------------------------------------------------------------------------

    def _open_service(self, kind: str, key: str, customer: str, detail: str) -> str:
        """The number of the service opened for ``key``, which opens at most once."""
        today = self._today()
        with self._records.transaction() as database:
            rows = self._records.query(
                "SELECT number FROM services WHERE kind = ? AND key = ?", kind, key
            )
            if rows:
                return str(rows[0]["number"])
            count = self._records.query(
                "SELECT count(*) AS n FROM services WHERE kind = ? AND day = ?",
                kind,
                today.isoformat(),
            )[0]["n"]
            number = f"{PREFIXES[kind]}{today:%y%m%d}{count + 1:03d}"
            database.execute(
                "INSERT INTO services VALUES (?, ?, ?, ?, ?, ?)",
                [number, kind, key, customer, detail[:MAX_DETAIL_CHARS], today.isoformat()],
            )
            return number

    def _order(self, order_id: str) -> Order | None:
        rows = self._records.query(f"{ORDERS} WHERE o.id = ?", order_id)
        return self._to_order(rows[0]) if rows else None

    def _to_order(self, row: Row) -> Order:
        return Order(
            id=row["id"],
            customer=row["customer"],
            status=row["status"],
            placed=self._day(row["placed_day"]) or self._today(),
            items=tuple(OrderItem(*item) for item in parse_items(row["items"])),
            total=Decimal(row["total"]),
            eta=self._day(row["eta_day"]),
            delivered=self._day(row["delivered_day"]),
            carrier=row["carrier"],
            address=row["address"],
            phone=row["phone"] or "",
            refund=row["refund"],
            refund_due=self._day(row["refund_day"]),
        )

    def _day(self, offset: int | None) -> date | None:
        return None if offset is None else self._today() + timedelta(days=offset)

    def _import(self, pack: Pack) -> None:
        tables = read_tables(pack)
        wanted = digest(tables)
        with self._records.transaction() as database:
            known = self._records.query("SELECT value FROM meta WHERE key = 'tables'")
            if known and known[0]["value"] == wanted:
                return
            for name in TABLES:
                database.execute(f"DELETE FROM {name}")  # noqa: S608 - a constant of ours
                database.table(name).insert_all(tables[name])
            database.execute("INSERT OR REPLACE INTO meta VALUES ('tables', ?)", [wanted])


def _to_product(row: Row) -> Product:
    return Product(
        id=row["id"],
        names=json.loads(row["names"]),
        category=row["category"],
        price=Decimal(row["price"]),
        stock=row["stock"],
        image=row["image"],
    )


def _names(row: Row) -> tuple[str, ...]:
    return tuple(json.loads(row["names"]).values())


def _aliases(row: Row) -> tuple[str, ...]:
    lists = json.loads(row["aliases"]).values()
    return tuple(alias.strip() for aliases in lists for alias in aliases.split("|"))
