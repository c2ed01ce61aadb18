"""Reading order of boxes."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.ocr import page_text, reading_order
from edge_runtime.turn import TextLine


def box(text: str, left: int, top: int, width: int = 100, height: int = 20) -> TextLine:
    return TextLine(text, (left, top, left + width, top + height), 0.9)


def shuffled(lines: list[TextLine]) -> list[TextLine]:
    return random.Random(4).sample(lines, len(lines))


def test_rows_top_to_bottom_and_left_to_right() -> None:
    lines = [
        box("Milk", 0, 0),
        box("2", 200, 3),
        box("13.00", 300, -2),
        box("Total", 0, 40),
        box("13.00", 300, 42),
    ]
    assert page_text(reading_order(shuffled(lines))) == "Milk  2  13.00\nTotal  13.00"


def test_a_slanted_row_stays_together() -> None:
    lines = [box(str(i), 120 * i, 6 * i) for i in range(8)]
    lines += [box(chr(97 + i), 120 * i, 6 * i + 30) for i in range(8)]
    text = page_text(reading_order(shuffled(lines)))
    assert text == "0  1  2  3  4  5  6  7\na  b  c  d  e  f  g  h"


def test_columns_of_prose_are_read_one_after_the_other() -> None:
    left = [box(f"left paragraph line {i}", 0, 25 * i, 300) for i in range(4)]
    right = [box(f"right paragraph line {i}", 400, 25 * i + 4, 300) for i in range(4)]
    text = page_text(reading_order(shuffled(left + right)))
    assert text.splitlines() == [line.text for line in left + right]


def test_blank_boxes_and_empty_pages_give_nothing() -> None:
    assert reading_order([]) == ()
    assert reading_order([box("  ", 0, 0)]) == ()


@given(
    st.lists(
        st.builds(
            box,
            st.text(min_size=1, max_size=30),
            st.integers(0, 900),
            st.integers(0, 900),
            st.integers(0, 300),
            st.integers(0, 60),
        ),
        max_size=25,
    )
)
def test_every_line_with_text_appears_once(lines: list[TextLine]) -> None:
    ordered = [line for row in reading_order(lines) for line in row]
    expected = [line for line in lines if line.text.strip()]
    assert sorted(map(repr, ordered)) == sorted(map(repr, expected))
