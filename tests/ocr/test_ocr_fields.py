"""Fields found in rows of text, as engines deliver them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.ocr import find_fields
from edge_runtime.ocr.amounts import find_date
from edge_runtime.ocr.layout import Row
from edge_runtime.turn import TextLine


def rows(page: str) -> tuple[Row, ...]:
    """One row a line; two spaces set boxes of a row apart."""
    return tuple(
        tuple(
            TextLine(
                text.strip(), (200 * column, 30 * number, 200 * column + 190, 30 * number + 24), 1
            )
            for column, text in enumerate(line.split("  "))
            if text.strip()
        )
        for number, line in enumerate(page.strip().splitlines())
    )


def test_english_receipt() -> None:
    found = find_fields(
        rows(
            """
            GREEN CORNER MART SDN BHD (123456-X)
            No. 12, Jalan Melati 3,
            Taman Melati, 53100 Kuala Lumpur
            Tel: 03-1234 5678
            TAX INVOICE
            Invoice No: GC-004512  Date: 24/11/2026 18:20
            Milk 1L  2  6.50  13.00
            Bread  1  4.20
            Subtotal  17.20
            GST 6%  1.03
            Rounding  0.02
            Grand Total  RM 18.25
            Cash  RM 20.00
            Change  RM 1.75
            """
        )
    )
    assert found == {
        "merchant": "GREEN CORNER MART SDN BHD",
        "date": "2026-11-24",
        "total": "18.25",
        "number": "GC-004512",
        "address": "No. 12, Jalan Melati 3, Taman Melati, 53100 Kuala Lumpur",
    }


def test_chinese_till_receipt() -> None:
    found = find_fields(
        rows(
            """
            欢迎光临
            好邻居便利店
            地址：杭州市西湖区文三路88号
            单号：XS20261124007  收银员：02
            日期：2026年11月24日 09:15
            商品  数量  金额
            纯牛奶  2  13.00
            外套  1  199.00
            小计  212.00
            优惠  12.00
            合计  ￥200.00
            实付  ￥200.00
            找零  0.00
            """
        )
    )
    assert found == {
        "merchant": "好邻居便利店",
        "date": "2026-11-24",
        "total": "200.00",
        "number": "XS20261124007",
        "address": "杭州市西湖区文三路88号",
    }


def test_spanish_ticket_with_decimal_commas() -> None:
    found = find_fields(
        rows(
            """
            SUPERMERCADO LA PLAZA S.L.
            Calle Mayor 5, 28013 Madrid
            Factura Nº: F-2026-118
            Fecha: 24/11/2026
            Leche  1,15
            Base imponible  10,45
            IVA 10%  1,05
            TOTAL A PAGAR  11,50 €
            EFECTIVO  20,00
            CAMBIO  8,50
            """
        )
    )
    assert found == {
        "merchant": "SUPERMERCADO LA PLAZA S.L.",
        "date": "2026-11-24",
        "total": "11.50",
        "number": "F-2026-118",
        "address": "Calle Mayor 5, 28013 Madrid",
    }


@pytest.mark.parametrize(
    ("page", "total"),
    [
        (
            "Total  74.68\nGrand Total :  87.08\nRounding Adjustment:  0.02\nNet Total :  87.10",
            "87.10",
        ),
        ("Total Qty  9\nTotal Sales :  327.00\nCASH :  350.00\nChange :  23.00", "327.00"),
        ("Item(s) : 1  Qty(s): 1\nTotal Incl. GST@6%  RM 5.90\nTotal GST  0.33", "5.90"),
        ("Total  12.00\nTotal Sales  1200", "12.00"),
        ("SUBTOTAL  RM20.40", "20.40"),
        ("合  计  ¥46.62  ¥6.08\n价税合计(大写)  伍拾贰圆柒角  (小写)¥52.70", "52.70"),
        ("合计：35元", "35.00"),
        ("TOTAL\n$1,007.50", "1007.50"),
        ("TOTAL  1.234,50 €", "1234.50"),
        ("Grand Total  RMO.47", "0.47"),
    ],
)
def test_the_total_is_what_was_to_be_paid(page: str, total: str) -> None:
    assert find_fields(rows(page))["total"] == total


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026年11月24日", "2026-11-24"),
        ("开票日期：2019 05 08", "2019-05-08"),
        ("2026/1/2 10:00", "2026-01-02"),
        ("20180428", "2018-04-28"),
        ("18-10-17 15:16", "2017-10-18"),
        ("02.03.2018", "2018-03-02"),
        ("11/24/2026", "2026-11-24"),
        ("12 Mar 2018 18:19", "2018-03-12"),
        ("Nov 24, 2026", "2026-11-24"),
        ("24 de noviembre", None),
        ("31/02/2018", None),
        ("03-9054 3765", None),
    ],
)
def test_dates_become_iso(text: str, iso: str | None) -> None:
    assert find_date(text) == iso


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("E3", "E3"),
        ("F-07", "F07"),
        ("60°\nE18", "E18"),
        ("故障代码：E5", "E5"),
        ("Error code 404", "404"),
    ],
)
def test_error_code_of_an_appliance_display(page: str, code: str) -> None:
    assert find_fields(rows(page))["error_code"] == code


def test_a_receipt_line_is_not_an_error_code() -> None:
    assert "error_code" not in find_fields(rows("CORNER SHOP\nE1\nTOTAL  9.90"))


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("型号：KFR-35GW/N8\n额定电压 220V", "KFR-35GW/N8"),
        ("Model No.: WH-1000XM4", "WH-1000XM4"),
        ("MODELO  AX200", "AX200"),
    ],
)
def test_model_of_a_type_plate(page: str, model: str) -> None:
    assert find_fields(rows(page))["model"] == model


@pytest.mark.parametrize("page", ["规格型号  单位  数量", "hello", "请勿吸烟"])
def test_nothing_is_made_up(page: str) -> None:
    assert find_fields(rows(page)) == {}


@given(st.lists(st.text(max_size=300), max_size=12))
def test_any_text_gives_strings_only(lines: list[str]) -> None:
    page = tuple((TextLine(text, (0, 30 * i, 99, 30 * i + 24), 1),) for i, text in enumerate(lines))
    assert all(isinstance(value, str) and value for value in find_fields(page).values())


@pytest.mark.parametrize(
    ("line", "day"),
    [
        ("日期：2026-11-2018:32", "2026-11-20"),
        ("20/11/202618:32", "2026-11-20"),
        ("2026-11-20 18:32", "2026-11-20"),
        ("2026-11-201", None),
    ],
)
def test_a_time_stuck_to_the_date_does_not_hide_it(line: str, day: str | None) -> None:
    assert find_date(line) == day
