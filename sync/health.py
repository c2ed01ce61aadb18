"""When a new version has proved worse: a sound rule over finished dialogues.

The naive rule ("roll back when the completion rate is below 85 %") errs 26 % of the time after ten
dialogues of a version whose true rate is 90 %. This one rolls back only when the dialogues seen so
far are improbable for any version at the floor: the exact one-sided binomial (Clopper-Pearson 1934)
upper bound of the rate lies below the floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["watch", "rollback", "commit"]


@dataclass(frozen=True, slots=True)
class Health:
    """A verdict and its evidence. ``upper`` bounds the true completion rate from above."""

    verdict: Verdict
    completed: int
    dialogues: int
    rate: float | None
    upper: float


@dataclass(frozen=True, slots=True)
class RollbackRule:
    """Watch ``window`` dialogues; roll back as soon as the bound falls below ``floor``.

    Checked after every dialogue from ``minimum`` on. With the defaults a version that truly
    completes 90 % is rolled back with probability 0.9 %, and one that fell to 70 % is caught within
    60 dialogues with probability 91 % (no rule over 60 dialogues that keeps to 1 % reaches 95 %).
    """

    floor: float = 0.85
    confidence: float = 0.95
    minimum: int = 25
    window: int = 60

    def judge(self, completed: int, dialogues: int) -> Health:
        """The verdict after ``dialogues`` closed ones, ``completed`` of them completed.

        Raises:
            ValueError: the counts cannot be.
        """
        if not 0 <= completed <= dialogues:
            raise ValueError(f"{completed} of {dialogues} dialogues cannot be completed")
        rate = completed / dialogues if dialogues else None
        upper = upper_bound(completed, dialogues, self.confidence)
        verdict: Verdict = "watch"
        if dialogues >= self.minimum and self._is_improbable(completed, dialogues):
            verdict = "rollback"
        elif dialogues >= self.window:
            verdict = "commit"
        return Health(verdict, completed, dialogues, rate, upper)

    def judge_history(self, completions: Iterable[bool]) -> Health:
        """The verdict that judging after every one of these dialogues, in order, comes to first."""
        completed, health = 0, self.judge(0, 0)
        for dialogues, done in enumerate(completions, 1):
            completed += done
            health = self.judge(completed, dialogues)
            if health.verdict != "watch":
                break
        return health

    def _is_improbable(self, completed: int, dialogues: int) -> bool:
        return at_most(completed, dialogues, self.floor) < 1 - self.confidence


def rollback_probability(rule: RollbackRule, rate: float) -> float:
    """The exact probability that ``rule`` takes back a version that truly completes ``rate``.

    Computed over all histories of the window, dialogue by dialogue; no simulation.
    """
    watched = {0: 1.0}
    taken_back = 0.0
    for dialogues in range(1, rule.window + 1):
        step: dict[int, float] = {}
        for completed, mass in watched.items():
            step[completed + 1] = step.get(completed + 1, 0.0) + mass * rate
            step[completed] = step.get(completed, 0.0) + mass * (1 - rate)
        verdicts = {n: rule.judge(n, dialogues).verdict == "rollback" for n in step}
        taken_back += math.fsum(mass for n, mass in step.items() if verdicts[n])
        watched = {n: mass for n, mass in step.items() if not verdicts[n]}
    return taken_back


def at_least(seen: int, trials: int, rate: float) -> float:
    """P(X ≥ seen) for X binomial over ``trials`` with ``rate`` in (0, 1)."""
    return at_most(trials - seen, trials, 1 - rate)


def at_most(completed: int, dialogues: int, rate: float) -> float:
    """P(X ≤ completed) for X binomial over ``dialogues`` with ``rate`` in (0, 1)."""
    return min(
        1.0,
        math.fsum(
            math.comb(dialogues, k) * rate**k * (1 - rate) ** (dialogues - k)
            for k in range(completed + 1)
        ),
    )


def upper_bound(completed: int, dialogues: int, confidence: float) -> float:
    """The exact one-sided upper confidence bound of a rate; 1 where nothing was seen."""
    if completed >= dialogues:
        return 1.0
    low, high = completed / dialogues, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if at_most(completed, dialogues, middle) < 1 - confidence:
            high = middle
        else:
            low = middle
    return high
