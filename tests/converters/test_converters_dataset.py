"""Labelled lines: what is wrong is named with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from converter_kit import lines

from converters.dataset import check_labels, check_typos, read_rows
from converters.errors import DatasetError

GOOD = b'{"text": "where is my order", "intent": "order_status"}\n'


@pytest.mark.parametrize(
    "bad",
    [
        b'{"intent": "refund"}',
        b'{"text": "  ", "intent": "refund"}',
        b'{"text": 7}',
        b"not json",
        b"[1, 2]",
        b'{"text": "\xff"}',
        b'{"text": "a", "intent": ["x"]}',
        b'{"text": "a", "entities": [1]}',
        b'{"text": "a", "entities": {"date": {}}}',
        b'{"text": "' + b"a" * 200_000 + b'"}',
        b"[" * 50_000,
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD + b"\n" + bad + b"\n" + GOOD)
    with pytest.raises(DatasetError) as caught:
        read_rows(path)
    assert caught.value.line == 3
    assert caught.value.message.startswith(f"{path}:3: ")


def test_a_mistyped_sentiment_is_corrected(tmp_path: Path) -> None:
    path = lines(tmp_path / "data.jsonl", [{"text": "a", "sentiment": "negativ"}])
    with pytest.raises(DatasetError) as caught:
        read_rows(path)
    assert caught.value.hint == "Did you mean 'negative'?"


def test_an_unknown_intent_is_corrected(tmp_path: Path) -> None:
    path = lines(tmp_path / "valid.jsonl", [{"text": "a", "intent": "order_statsu"}])
    with pytest.raises(DatasetError, match=r"valid\.jsonl:1") as caught:
        check_labels(path, read_rows(path), ["order_status", "refund"])
    assert "order_status" in caught.value.hint


@pytest.mark.parametrize(
    ("common", "typed"),
    [
        ("order_status", "order_staus"),
        ("order_status", "order_statsu"),
        ("order_status", "ordr_statu"),
        ("translate", "translatx"),
        ("refund", "refunds"),
        ("退货流程", "退货流成"),
        ("get_physical_card_delivery", "get_phisical_card_dilivery"),
    ],
)
def test_a_label_seen_once_and_spelt_like_a_common_one_is_a_typo(
    tmp_path: Path, common: str, typed: str
) -> None:
    rows = [{"text": f"where {i}", "intent": common} for i in range(6)]
    rows.append({"text": "where", "intent": typed})
    path = lines(tmp_path / "train.jsonl", rows)
    with pytest.raises(DatasetError, match=r"train\.jsonl:7") as caught:
        check_typos(path, read_rows(path))
    assert f"'{common}'" in caught.value.hint


@pytest.mark.parametrize("other", ["refund", "returns_fee", "yes", "order_change"])
def test_a_label_seen_once_that_is_another_word_is_none(tmp_path: Path, other: str) -> None:
    rows = [{"text": f"where {i}", "intent": it} for i in range(6) for it in ("returns", "yet")]
    rows.append({"text": "where", "intent": other})
    path = lines(tmp_path / "train.jsonl", rows)
    check_typos(path, read_rows(path))


def test_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    for path in (empty, tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(DatasetError):
            read_rows(path)


def test_entities_come_as_values_or_lists_and_outside_is_renamed(tmp_path: Path) -> None:
    given = {"text": "a", "intent": "oos", "entities": {"date": ["X", "y"], "number": 3}}
    (row,) = read_rows(lines(tmp_path / "d.jsonl", [given]), outside="oos")
    assert row.intent == "out_of_scope"
    assert row.entities == {("date", "x"), ("date", "y"), ("number", "3")}
