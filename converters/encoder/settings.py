"""How a task is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from converters.ranges import Ranges, check_ranges

UNKNOWN: Final = -100
"""Index of a label that a line does not have."""
FEW: Final = 30
"""Lines of an intent below which it is told more than they say."""
METHOD: Final = 5
"""Counts what else decides a result: what another method began or made is begun again."""
_LEAST_STEPS: Final = 500
_MOST_EPOCHS: Final = 40


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """How a task is trained.

    Args:
        epochs: passes over the lines in each round; small sets get more.
        rounds: how often to train; every round after the first also learns from all before it.
        learning_rate: of the layers; the heads' is ``head_rate``.
        head_rate: of the heads.
        batch: lines a step, each seen twice.
        dropout: everywhere.
        averaging: decay of the running average of the weights, which is what is kept.
        rejection_cost: how much in-scope accuracy turning doubtful utterances away may cost on
            the validation lines.
        seed: of every random choice.

    Raises:
        OptionError: a value is out of its range.
    """

    epochs: int = 8
    rounds: int = 1
    learning_rate: float = 2.5e-4
    head_rate: float = 1e-3
    batch: int = 64
    dropout: float = 0.1
    averaging: float = 0.998
    rejection_cost: float = 0.003
    seed: int = 0

    def __post_init__(self) -> None:
        ranges: Ranges = {
            "epochs": (1, 1000),
            "rounds": (1, 10),
            "learning_rate": (1e-8, 1.0),
            "head_rate": (1e-8, 1.0),
            "batch": (2, 1024),
            "dropout": (0.0, 0.9),
            "averaging": (0.0, 1.0),
            "rejection_cost": (0.0, 1.0),
            "seed": (0, 2**31 - 1),
        }
        check_ranges(self, ranges)

    def epochs_for(self, lines: int) -> int:
        """Passes over ``lines`` lines: enough for the heads to settle on a small set, too."""
        a_pass = -(-lines // self.batch)
        return max(self.epochs, min(_MOST_EPOCHS, -(-_LEAST_STEPS // a_pass)))

    def steps_for(self, lines: int) -> int:
        """Batches of all passes over ``lines`` lines."""
        return -(-lines // self.batch) * self.epochs_for(lines)


DEFAULTS: Final = TaskSettings()
