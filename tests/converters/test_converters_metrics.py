"""Properties of the measures, and the bars held against them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.errors import OptionError
from converters.evaluate.cards import page, parse_bars
from converters.evaluate.metrics import entity_f1, expected_calibration_error, macro_f1
from edge_runtime.bundles.card import Bar, QualityCard

outcomes = st.lists(
    st.tuples(st.floats(0, 1, allow_nan=False), st.booleans()), min_size=1, max_size=200
)


def _ece(pairs: list[tuple[float, bool]]) -> float:
    return expected_calibration_error([c for c, _ in pairs], [r for _, r in pairs])


@given(outcomes)
def test_calibration_error_lies_between_the_mean_gap_and_one(
    pairs: list[tuple[float, bool]],
) -> None:
    error = _ece(pairs)
    mean_gap = abs(sum(c - r for c, r in pairs) / len(pairs))
    assert mean_gap - 1e-9 <= error <= 1 + 1e-9


@given(outcomes, st.randoms())
def test_calibration_error_does_not_depend_on_order(
    pairs: list[tuple[float, bool]], random
) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert math.isclose(_ece(pairs), _ece(shuffled), abs_tol=1e-9)


@given(st.lists(st.booleans(), min_size=1, max_size=100))
def test_certainty_that_is_always_right_has_no_error_and_always_wrong_has_all(
    right: list[bool],
) -> None:
    assert _ece([(float(r), r) for r in right]) == 0
    assert _ece([(float(not r), r) for r in right]) == 1


@given(st.integers(1, 50), st.integers(0, 50))
def test_one_confidence_for_all_errs_by_its_distance_from_the_accuracy(n: int, hits: int) -> None:
    right = [index < hits for index in range(n)]
    assert math.isclose(_ece([(0.7, r) for r in right]), abs(0.7 - sum(right) / n), abs_tol=1e-9)


def test_calibration_error_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        expected_calibration_error([], [])


def test_macro_f1_weighs_rare_classes_like_common_ones() -> None:
    truth = ["neutral"] * 9 + ["negative"]
    assert macro_f1(["neutral"] * 10, truth) < 0.5
    assert macro_f1(truth, truth) == 1


def test_entity_f1_counts_only_types_that_the_data_labels() -> None:
    truth = [frozenset({("date", "2024-05-01")}), frozenset()]
    found = [frozenset({("date", "2024-05-01"), ("money", "3")}), frozenset({("money", "4")})]
    assert entity_f1(found, truth) == 1
    assert entity_f1([frozenset(), frozenset()], truth) == 0
    assert entity_f1([frozenset()], [frozenset()]) == 1


def test_bars_know_their_direction() -> None:
    bars = parse_bars(["intent_accuracy=0.9", "mean_kl=0.05", "intent_accuracy.zh=0.8"])
    assert bars["intent_accuracy"] == Bar(0.9, "at_least")
    assert bars["mean_kl"] == Bar(0.05, "at_most")
    assert bars["intent_accuracy.zh"].kind == "at_least"


@pytest.mark.parametrize(
    ("bar", "hint"), [("intent_acuracy=0.9", "intent_accuracy"), ("intent_accuracy", "--bar")]
)
def test_a_bar_that_nothing_measures_is_refused_with_a_suggestion(bar: str, hint: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_bars([bar])
    assert hint in caught.value.hint


def test_the_page_says_which_bar_was_missed() -> None:
    metrics = {"intent_accuracy": 0.8, "intent_accuracy.zh": 0.7}
    card = QualityCard("0" * 64, "made up", metrics, parse_bars(["intent_accuracy=0.9"]))
    text = page(card, "Toy", {"machine": "this one"})
    assert "Refused" in text
    assert "| intent_accuracy | 0.8 | ≥ 0.9 missed |" in text
    assert "in 'zh'" in text
    assert "machine: this one" in text
