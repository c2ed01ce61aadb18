"""From a pack's CSV tables to the rows of the shop's database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from edge_runtime.packs import Pack, read_rows

TABLES = ("customers", "products", "orders", "stores")

Value = str | int | None
DatabaseRow = dict[str, Value]


def read_tables(pack: Pack) -> dict[str, list[DatabaseRow]]:
    """Every table of the pack, in the database's shape.

    Raises:
        PackError: a table is broken.
    """
    return {
        "customers": [_customer(row) for row in read_rows(pack, "customers")],
        "products": [_product(row) for row in read_rows(pack, "products")],
        "orders": [_order(row) for row in read_rows(pack, "orders")],
        "stores": [_store(row) for row in read_rows(pack, "stores")],
    }


def digest(tables: Mapping[str, list[DatabaseRow]]) -> str:
    """SHA-256 (hex) of the tables' content."""
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()


def _customer(row: Mapping[str, str]) -> DatabaseRow:
    return {
        "id": row["customer_id"],
        "name": row["name"],
        "phone": row["phone"],
        "tier": row["tier"],
        "language": row["language"],
    }


def _product(row: Mapping[str, str]) -> DatabaseRow:
    return {
        "id": row["id"],
        "category": row["category"],
        "price": row["price"],
        "stock": int(row["stock"]),
        "image": _pack_path(row.get("image", "")),
        "names": _by_language(row, "name"),
        "aliases": _by_language(row, "aliases"),
    }


def _order(row: Mapping[str, str]) -> DatabaseRow:
    return {
        "id": row["order_id"],
        "customer": row["customer_id"],
        "status": row["status"],
        "items": row["items"],
        "total": row["amount"],
        "address": row["address"],
        "carrier": row["carrier"],
        "refund": row["refund"],
        **{name: _day(row[name]) for name in ("placed_day", "eta_day", "delivered_day")},
        "refund_day": _day(row["refund_day"]),
    }


def _store(row: Mapping[str, str]) -> DatabaseRow:
    return {
        "id": row["store_id"],
        "phone": row["phone"],
        "hours": row["hours"],
        "names": _by_language(row, "name"),
    }


def _by_language(row: Mapping[str, str], column: str) -> str:
    prefix = f"{column}."
    found = {key.removeprefix(prefix): cell for key, cell in row.items() if key.startswith(prefix)}
    return json.dumps({language: cell for language, cell in found.items() if cell})


def _day(cell: str) -> int | None:
    return int(cell) if cell else None


def _pack_path(image: str) -> str:
    """A picture named relative to ``knowledge/`` as the pack names it everywhere else."""
    return image.removeprefix("../")
