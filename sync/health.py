"""When a new version has proved worse: a sound rule over finished dialogues.

The naive rule ("roll back when the completion rate is below 85 %") errs 26 % of the time after ten
dialogues of a version whose true rate is 90 %. This one rolls back only when the dialogues seen so
far are improbable for any version at the floor: the exact one-sided binomial (Clopper-Pearson 1934)
upper bound of the rate lies below the floor.
"""

from __future__ import annotations

import math
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

    def _is_improbable(self, completed: int, dialogues: int) -> bool:
        return at_most(completed, dialogues, self.floor) < 1 - self.confidence


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
