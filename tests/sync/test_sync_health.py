"""The rollback rule's errors, exactly and by simulation."""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.health import RollbackRule, Verdict, at_most, upper_bound

RULE = RollbackRule()


@cache
def verdict(rule: RollbackRule, completed: int, dialogues: int) -> Verdict:
    """Each of the few thousand is asked for again and again."""
    return rule.judge(completed, dialogues).verdict


def rolled_back(rule: RollbackRule, rate: float) -> float:
    """The exact probability that a version of this rate is rolled back within the window."""
    alive = {0: 1.0}
    caught = 0.0
    for dialogues in range(1, rule.window + 1):
        step: dict[int, float] = {}
        for completed, mass in alive.items():
            step[completed + 1] = step.get(completed + 1, 0) + mass * rate
            step[completed] = step.get(completed, 0) + mass * (1 - rate)
        alive = {}
        for completed, mass in step.items():
            if verdict(rule, completed, dialogues) == "rollback":
                caught += mass
            else:
                alive[completed] = mass
    return caught


def test_a_good_version_is_falsely_rolled_back_in_at_most_one_case_of_a_hundred() -> None:
    assert rolled_back(RULE, 0.90) <= 0.01
    assert rolled_back(RULE, 0.95) <= 0.001


def test_a_fall_to_70_percent_is_caught_within_60_dialogues() -> None:
    assert RULE.window == 60
    assert rolled_back(RULE, 0.70) >= 0.91
    assert rolled_back(RULE, 0.60) >= 0.99


def test_simulation_agrees_with_the_exact_figures() -> None:
    chance = random.Random(11)
    runs, caught = 1500, 0
    for _ in range(runs):
        completed = 0
        for dialogues in range(1, 61):
            completed += chance.random() < 0.70
            if verdict(RULE, completed, dialogues) == "rollback":
                caught += 1
                break
    assert caught / runs == pytest.approx(rolled_back(RULE, 0.70), abs=0.03)


def test_nothing_is_decided_on_too_few_dialogues() -> None:
    assert RULE.judge(0, RULE.minimum - 1).verdict == "watch"
    assert RULE.judge(0, RULE.minimum).verdict == "rollback"
    assert RULE.judge(0, 0).rate is None
    assert RULE.judge(60, 60).verdict == "commit"


@given(st.integers(0, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_bound_lies_above_the_rate_and_means_what_it_says(counts: tuple[int, int]) -> None:
    completed, dialogues = counts
    upper = upper_bound(completed, dialogues, 0.95)
    assert upper <= 1
    if dialogues and completed < dialogues:
        assert upper > completed / dialogues
        assert at_most(completed, dialogues, upper) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("counts", [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot"):
        RULE.judge(*counts)
