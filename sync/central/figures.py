"""What is counted of a turn, and how waiting times are summed up so that days can be added."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable

_ERROR = 0.01
_GAMMA = (1 + _ERROR) / (1 - _ERROR)
_LOG_GAMMA = math.log(_GAMMA)
_LEAST_MS, _MOST_MS = 1e-3, 1e9
_UNKNOWN = frozenset({"clarify"})
_OUT_OF_SCOPE = "out_of_scope"


def is_unanswered(decision: str, intent: str, outcome: str) -> bool:
    """Whether a turn gave the customer no answer: it failed, was out of scope, or asked back."""
    return outcome == "failed" or intent == _OUT_OF_SCOPE or decision in _UNKNOWN


class Sketch:
    """Milliseconds counted in buckets whose bounds grow by 2 %; quantiles are within 1 %.

    Sketches add up without loss (Masson, Rim and Lee 2019, "DDSketch"). Values are taken as at
    least a microsecond and at most 11 days.
    """

    def __init__(self, buckets: Counter[int] | None = None) -> None:
        self._buckets: Counter[int] = buckets if buckets is not None else Counter()

    @classmethod
    def of(cls, values: Iterable[float]) -> Sketch:
        return cls(Counter(_bucket(value) for value in values))

    @classmethod
    def from_json(cls, text: str) -> Sketch:
        return cls(Counter({int(key): count for key, count in json.loads(text).items()}))

    def to_json(self) -> str:
        return json.dumps(dict(sorted(self._buckets.items())), separators=(",", ":"))

    def add(self, other: Sketch) -> None:
        self._buckets.update(other._buckets)

    def percentile(self, percent: int) -> float | None:
        """By nearest rank, within 1 % of the exact one; ``None`` where nothing was counted."""
        rank = max(math.ceil(percent * self._buckets.total() / 100), 1)
        for bucket, count in sorted(self._buckets.items()):
            rank -= count
            if rank <= 0:
                return float(2 * _GAMMA**bucket / (_GAMMA + 1))
        return None


def _bucket(value: float) -> int:
    return math.ceil(math.log(min(max(value, _LEAST_MS), _MOST_MS)) / _LOG_GAMMA)
