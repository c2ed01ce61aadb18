"""How a student is distilled."""

from __future__ import annotations

from dataclasses import dataclass

from converters.errors import OptionError
from converters.ranges import Ranges, check_ranges


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """How a student is distilled.

    Args:
        epochs: passes over the teacher's replies; 0 leaves that part out.
        on_policy_steps: steps on the student's own replies; 0 leaves that part out.
        rank: of the LoRA matrices that are trained and merged; 0 trains every weight.
        learning_rate: on the teacher's replies; the student's own replies take a quarter of it.
        batch: conversations a step.
        max_length: tokens of a conversation; longer ones lose their beginning.
        max_reply: tokens of a reply.
        own_share: share of the on-policy steps that use the student's replies (λ); the others
            use the teacher's.
        beta: which divergence: 0 is KL(teacher ‖ student), 1 KL(student ‖ teacher), between them a
            generalised Jensen-Shannon divergence.
        temperature: at which the student's replies are drawn.
        seed: of every random choice.

    Raises:
        OptionError: a value is out of its range.
    """

    epochs: int = 2
    on_policy_steps: int = 100
    rank: int = 16
    learning_rate: float = 2e-4
    batch: int = 4
    max_length: int = 512
    max_reply: int = 96
    own_share: float = 1.0
    beta: float = 0.5
    temperature: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        ranges: Ranges = {
            "epochs": (0, 1000),
            "on_policy_steps": (0, 1_000_000),
            "rank": (0, 1024),
            "learning_rate": (1e-8, 1.0),
            "batch": (1, 1024),
            "max_length": (16, 32_768),
            "max_reply": (1, 4096),
            "own_share": (0.0, 1.0),
            "beta": (0.0, 1.0),
            "temperature": (0.01, 10.0),
            "seed": (0, 2**31 - 1),
        }
        check_ranges(self, ranges)
        if not self.epochs and not self.on_policy_steps:
            raise OptionError(
                "There is nothing to do: epochs and on_policy_steps are both 0.",
                hint="Leave at least one of the two parts in.",
            )
