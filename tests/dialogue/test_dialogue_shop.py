"""The shop's records: imports, searches, and writes that may be repeated."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from dialogue_kit import TODAY, make_pack

from edge_runtime.dialogue import SqliteShop
from edge_runtime.dialogue.base import Receipt
from edge_runtime.dialogue.guidelines import Guidelines, days_in, is_refusal
from edge_runtime.dialogue.localize import amount
from edge_runtime.packs.schema import Pack

FIRST = "R20261101001"


def test_changed_pack_is_imported_again_and_loses_nobodys_change(
    tmp_path: Path, pack: Pack, shop: SqliteShop
) -> None:
    assert shop.change_address(FIRST, "新路1号") and shop.cancel(FIRST)
    shop.close()
    products = pack.tables["products"]
    products.write_text(products.read_text("utf-8").replace("399.00,7", "299.00,7"), "utf-8")
    again = SqliteShop(tmp_path / "shop.db", pack, today=lambda: TODAY)
    product, order = again.product("P1"), again.order(FIRST)
    assert product and product.price == Decimal("299.00")
    assert order and (order.address, order.status) == ("新路1号", "cancelled")


@pytest.mark.parametrize(
    ("query", "found"),
    [("P1", "P1"), ("大衣", "P1"), ("wool coats", "P1"), ("hervidor", "P3"), ("面包", "P2")],
)
def test_products_are_found_by_id_or_name_in_any_language(
    shop: SqliteShop, query: str, found: str
) -> None:
    assert [product.id for product in shop.products(query)][:1] == [found]


@pytest.mark.parametrize("query", ["", "   ", "submarine periscope", "%_'\";--", "x" * 100_000])
def test_nothing_sold_is_nothing_found(shop: SqliteShop, query: str) -> None:
    assert shop.products(query) == ()


@pytest.mark.parametrize("key", ["C1", "13800001234", "+86 138-0000-1234", " C1 "])
def test_customer_is_known_by_id_or_phone(shop: SqliteShop, key: str) -> None:
    customer = shop.customer(key)
    assert customer and customer.name == "李雷"


@pytest.mark.parametrize("key", ["", "1234", "C9", "00001234", "C1' OR '1'='1"])
def test_nobody_is_known_by_half_a_number(shop: SqliteShop, key: str) -> None:
    assert shop.customer(key) is None


def test_repeated_writes_change_nothing_more(shop: SqliteShop) -> None:
    receipt = Receipt("云杉百货", date(2026, 11, 20), Decimal("88.00"), "0042")
    assert shop.start_return(FIRST, "a") == shop.start_return(FIRST, "b")
    assert shop.issue_invoice(receipt, "x") == shop.issue_invoice(receipt, "y")
    other = replace(receipt, number="0043")
    assert shop.issue_invoice(other, "x") != shop.issue_invoice(receipt, "x")
    assert shop.record_complaint("s:1", "", "t") == shop.record_complaint("s:1", "", "t")
    assert shop.cancel(FIRST) and shop.cancel(FIRST)
    assert not shop.change_address(FIRST, "too late")


def test_tickets_of_many_threads_have_different_numbers(shop: SqliteShop) -> None:
    numbers: list[str] = []
    threads = [
        threading.Thread(target=lambda key=key: numbers.append(shop.record_complaint(key, "", "x")))
        for key in map(str, range(12))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == 12


def test_recommendations_are_in_stock_and_of_the_category(shop: SqliteShop) -> None:
    assert [product.id for product in shop.in_category("appliance")] == ["P3"]
    assert shop.in_category("food") == ()
    assert [product.id for product in shop.in_category("")] == ["P1", "P3"]


def test_guideline_follows_the_passage_of_the_goods(tmp_path: Path) -> None:
    guidelines = Guidelines(make_pack(tmp_path / "pack"))
    food, coat = guidelines.of("returns", "food", "zh"), guidelines.of("returns", "clothing", "en")
    assert food and food.refused and food.reason.startswith("食品一经售出不能退货。")
    assert coat and not coat.refused and coat.days == 7
    assert guidelines.of("warranty", "food", "zh") is None


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("可以退。定制商品不能退。", False),
        ("贴身用品拆封后不能退货。", True),
        ("Food cannot be returned.", True),
        ("Yes, you can. Opened goods cannot be returned.", False),
        ("Los alimentos no se pueden devolver.", True),
        ("Lo siento, los alimentos no se cambian.", True),
    ],
)
def test_policy_refuses_when_it_opens_with_a_refusal(text: str, refused: bool) -> None:
    assert is_refusal(text) is refused


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("7天内", 7),
        ("七天无理由", 7),
        ("十五日内", 15),
        ("三十天", 30),
        ("within 14 days", 14),
        ("en 10 días", 10),
        ("满30元包邮", None),
        ("", None),
    ],
)
def test_days_are_read_from_policy_text(text: str, days: int | None) -> None:
    assert days_in(text) == days


def test_amounts_have_no_idle_decimals() -> None:
    assert [amount(Decimal(value)) for value in ("399.00", "12.50", "0", "1E+3")] == [
        "399",
        "12.50",
        "0",
        "1000",
    ]
