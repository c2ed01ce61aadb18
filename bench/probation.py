"""The rollback rule's error curve: ``python -m bench.probation``.

For each true completion rate, the exact probability that a version is taken back within the window,
and, for comparison, that of the naive rule: back as soon as the rate so far is below the floor,
looked at after every dialogue from the tenth on. Prints a JSON object.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from sync.health import Health, RollbackRule, at_most, rollback_probability
from sync.updater.probation import RARE

RATES = (0.97, 0.95, 0.92, 0.90, 0.88, 0.85, 0.80, 0.75, 0.70, 0.65, 0.60, 0.50)


@dataclass(frozen=True, slots=True)
class Naive(RollbackRule):
    """Back when the share of completed dialogues is below the floor."""

    minimum: int = 10

    def judge(self, completed: int, dialogues: int) -> Health:
        low = dialogues >= self.minimum and completed < self.floor * dialogues
        verdict = "rollback" if low else "watch"
        return Health(verdict, completed, dialogues, None, 1.0)  # type: ignore[arg-type]


def main() -> int:
    rule = RollbackRule()
    curve = {f"{rate:.2f}": round(rollback_probability(rule, rate), 5) for rate in RATES}
    naive = {f"{rate:.2f}": round(rollback_probability(Naive(), rate), 5) for rate in RATES}
    report = {
        "floor": rule.floor,
        "confidence": rule.confidence,
        "minimum": rule.minimum,
        "window": rule.window,
        "rolled_back": curve,
        "naive_rule": naive,
        "naive_rule_at_10_dialogues_of_0.90": round(at_most(8, 10, 0.90), 4),
        "other_rules": {"looks": 4, "each_at_most": RARE},
    }
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
