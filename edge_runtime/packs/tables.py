"""The CSV tables of a pack: products, and sample orders, customers and stores.

Days in ``orders.csv`` are offsets from today (-3: three days ago, 2: in two days), so that the
sample data never ages; whoever loads a table turns them into dates.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

from edge_runtime.packs.files import read_text, relative_name
from edge_runtime.packs.problems import Problems
from edge_runtime.packs.replies import STATUSES
from edge_runtime.packs.schema import Pack

MAX_ROWS = 100_000

Row = Mapping[str, str]
Check = Callable[[str], bool]

_DAY = re.compile(r"^-?\d{1,4}$")
_ITEMS = re.compile(r"^[\w-]+:\d{1,4}(?: [\w-]+:\d{1,4})*$")


def _is_money(value: str) -> bool:
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return False
    return amount.is_finite() and 0 <= amount < 10**9


def _is_count(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 9


def _is_text(value: str) -> bool:
    return bool(value)


def _is_day(value: str) -> bool:
    return bool(_DAY.match(value))


def _is_day_or_empty(value: str) -> bool:
    return not value or _is_day(value)


def _one_of(*allowed: str) -> Check:
    return lambda value: value in allowed


COLUMNS: Mapping[str, Mapping[str, Check]] = {
    "products": {"id": _is_text, "category": _is_text, "price": _is_money, "stock": _is_count},
    "orders": {
        "order_id": _is_text,
        "customer_id": _is_text,
        "status": _one_of(*STATUSES),
        "items": lambda value: bool(_ITEMS.match(value)),
        "amount": _is_money,
        "address": _is_text,
        "carrier": lambda _: True,
        "placed_day": _is_day,
        "eta_day": _is_day_or_empty,
        "delivered_day": _is_day_or_empty,
        "refund": _one_of("none", "pending", "done"),
        "refund_day": _is_day_or_empty,
    },
    "customers": {
        "customer_id": _is_text,
        "name": _is_text,
        "phone": _is_text,
        "tier": _is_text,
        "points": _is_count,
        "language": _is_text,
    },
    "stores": {"store_id": _is_text, "phone": _is_text, "hours": _is_text},
}
"""Columns that each table must have, with what their values must look like."""

KEYS: Mapping[str, str] = {
    "products": "id",
    "orders": "order_id",
    "customers": "customer_id",
    "stores": "store_id",
}


def parse_csv(
    text: str, file: str, required: tuple[str, ...], problems: Problems
) -> Iterator[tuple[int, Row]]:
    """Line and cells of each row; reports a missing column, a ragged row, too many rows."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in required if name not in header]
        if missing or len(set(header)) != len(header):
            problems.report(
                f"The column '{missing[0]}' is missing."
                if missing
                else "Two columns have the same name.",
                file=file,
                line=1,
                hint=f"The first line must name each of: {', '.join(required)}.",
            )
            return
        for count, cells in enumerate(reader):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                problems.report(
                    f"The row has {len(cells)} cells, the first line names {len(header)} columns.",
                    file=file,
                    line=reader.line_num,
                    hint='Put text that contains commas between double quotes ("…").',
                )
                continue
            if count >= MAX_ROWS:
                problems.report(
                    f"The table has more than {MAX_ROWS:,} rows.",
                    file=file,
                    line=reader.line_num,
                    hint="Split it, or keep it in the shop's own system.",
                )
                return
            yield (
                reader.line_num,
                {name: cell.strip() for name, cell in zip(header, cells, strict=True)},
            )
    except csv.Error as error:
        problems.report(
            f"This is not valid CSV: {error}.",
            file=file,
            line=reader.line_num,
            hint="Check the double quotes on this line.",
        )


def table_rows(table: str, text: str, file: str, problems: Problems) -> list[tuple[int, Row]]:
    """The rows of one of the known tables; reports wrong values and keys that appear twice."""
    checks, key = COLUMNS[table], KEYS[table]
    rows: list[tuple[int, Row]] = []
    seen: set[str] = set()
    for line, row in parse_csv(text, file, tuple(checks), problems):
        wrong = next((name for name, fits in checks.items() if not fits(row[name])), None)
        if wrong is not None:
            message, hint = f"'{row[wrong]}' is not a valid {wrong}.", "Correct the value."
        elif row[key] in seen:
            message, hint = f"The {key} '{row[key]}' appears twice.", "Keep one of the rows."
        else:
            seen.add(row[key])
            rows.append((line, row))
            continue
        problems.report(message, file=file, line=line, hint=hint)
    return rows


def read_rows(pack: Pack, table: str) -> tuple[Row, ...]:
    """The rows of ``pack.tables[table]``, or nothing when the pack has no such table.

    Raises:
        PackError: the file is broken; names its line.
    """
    file = pack.tables.get(table)
    if file is None:
        return ()
    problems = Problems()
    name = relative_name(Path(file), pack.root)
    text = read_text(Path(file), name, problems)
    rows = table_rows(table, text, name, problems) if text is not None else []
    problems.raise_first()
    return tuple(row for _, row in rows)


def parse_items(items: str) -> tuple[tuple[str, int], ...]:
    """Product ids and quantities of an order's ``items`` cell (``"P1001:2 P3002:1"``)."""
    pairs = (entry.rpartition(":") for entry in items.split())
    return tuple((product, int(quantity)) for product, _, quantity in pairs)
