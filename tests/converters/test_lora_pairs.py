"""Rated replies become pairs of a better and a worse one, or a line is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from converter_kit import lines

from converters.errors import DatasetError
from converters.lora.pairs import read_pairs

ASKED = [{"role": "user", "content": "Can I return it?"}]
OTHER = [{"role": "user", "content": "When do you open?"}]


def rated(reply: str, rating: Any, messages: list[dict[str, str]] = ASKED) -> dict[str, Any]:
    return {"messages": messages, "reply": reply, "rating": rating}


def found(tmp_path: Path, rows: list[Any]) -> list[tuple[str, str]]:
    return [(pair.chosen, pair.rejected) for pair in read_pairs(lines(tmp_path / "r.jsonl", rows))]


def test_pairs_are_taken_as_they_stand(tmp_path: Path) -> None:
    rows = [{"messages": ASKED, "chosen": "Yes.", "rejected": "No."}]
    path = lines(tmp_path / "r.jsonl", rows)
    (pair,) = read_pairs(path)
    assert (list(pair.prompt), pair.chosen, pair.rejected) == (ASKED, "Yes.", "No.")


def test_the_best_reply_to_a_prompt_is_held_against_each_worse_one(tmp_path: Path) -> None:
    rows = [rated("fair", 3), rated("at nine", 1, OTHER), rated("good", 5), rated("bad", 1.5)]
    rows += [rated("at ten", 2, OTHER), rated("as good", 5)]
    assert found(tmp_path, rows) == [("good", "fair"), ("good", "bad"), ("at ten", "at nine")]


def test_both_shapes_may_stand_in_one_file(tmp_path: Path) -> None:
    rows = [rated("good", 1), {"messages": OTHER, "chosen": "a", "rejected": "b"}, rated("bad", 0)]
    assert found(tmp_path, rows) == [("a", "b"), ("good", "bad")]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [rated("one", 4)],
        [rated("one", 4), rated("other", 4)],
        [rated("same", 4), rated("same", 2)],
        [rated("one", 4), rated("other", 2, OTHER)],
        [{"messages": ASKED, "chosen": "same", "rejected": "same"}],
    ],
)
def test_what_prefers_nothing_is_refused(tmp_path: Path, rows: list[Any]) -> None:
    with pytest.raises(DatasetError, match="rated differently"):
        found(tmp_path, rows)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1], "no 'messages'"),
        ({"text": "hello"}, "no 'messages'"),
        ({"messages": [], "chosen": "a", "rejected": "b"}, "no 'messages'"),
        ({"messages": ASKED}, "no 'chosen'"),
        ({"messages": ASKED, "chosen": "a"}, "no 'rejected'"),
        ({"messages": ASKED, "chosen": " ", "rejected": "b"}, "no 'chosen'"),
        ({"messages": ASKED, "rating": 1}, "no 'reply'"),
        (rated("good", "5"), "no number"),
        (rated("good", True), "no number"),
        (rated("good", None), "no number"),
        (rated("good", float("nan")), "out of bounds"),
        (rated("good", float("inf")), "out of bounds"),
        (rated("good", 10**400), "out of bounds"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(DatasetError, match=said) as caught:
        found(tmp_path, [rated("good", 5), rated("bad", 1), row])
    assert caught.value.line == 3
    assert "r.jsonl:3: " in caught.value.message


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "r.jsonl", [rated("good", 5)])
    path.write_text(path.read_text() + "\n{\n")
    with pytest.raises(DatasetError, match="not JSON") as caught:
        read_pairs(path)
    assert caught.value.line == 3
    with pytest.raises(DatasetError, match="cannot be read"):
        read_pairs(tmp_path / "none.jsonl")
