"""How an adapter is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from converters.errors import OptionError
from converters.ranges import Ranges, check_ranges

_COMMON: Final[Ranges] = {
    "epochs": (1, 1000),
    "steps": (0, 1_000_000),
    "learning_rate": (1e-8, 1.0),
    "batch": (1, 1024),
    "max_length": (16, 32_768),
    "seed": (0, 2**31 - 1),
}


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank adaptation (Hu et al., "LoRA", ICLR 2022) on conversations.

    Args:
        rank: of the matrices added to each module.
        alpha: what they are added with, over ``rank``.
        dropout: before them.
        modules: names of the linear layers that get them.
        epochs: passes over the data.
        steps: stops earlier when it is not 0.
        learning_rate: at its highest.
        batch: conversations at once.
        accumulate: batches a step.
        max_length: tokens of a conversation; longer ones lose their end.
        seed: of every random choice.

    Raises:
        OptionError: a value is out of its range.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.1
    modules: tuple[str, ...] = ("q_proj", "v_proj")
    epochs: int = 1
    steps: int = 0
    learning_rate: float = 2e-4
    batch: int = 4
    accumulate: int = 1
    max_length: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        own: Ranges = {
            "rank": (1, 1024),
            "alpha": (1, 4096),
            "dropout": (0.0, 1.0),
            "accumulate": (1, 1024),
        }
        check_ranges(self, {**_COMMON, **own})
        if not self.modules:
            raise OptionError("No modules are named.", hint="Such as q_proj and v_proj.")


@dataclass(frozen=True, slots=True)
class PreferenceSettings:
    """Direct preference optimisation (Rafailov et al., NeurIPS 2023) of a tuned adapter.

    Only the distance between two replies counts there, and it also grows while both become less
    likely. So the preferred ones are imitated beside it (Pang et al., "Iterative Reasoning
    Preference Optimization", NeurIPS 2024).

    Args:
        epochs: passes over the pairs.
        steps: stops earlier when it is not 0.
        beta: how dearly moving away from the tuned model is paid for.
        imitation: weight of the nats a token of the preferred replies; 0 leaves them out.
        learning_rate: at its highest.
        batch: pairs a step.
        max_length: tokens of a prompt with its reply; longer ones lose their end.
        seed: of every random choice.

    Raises:
        OptionError: a value is out of its range.
    """

    epochs: int = 1
    steps: int = 0
    beta: float = 0.1
    imitation: float = 1.0
    learning_rate: float = 5e-6
    batch: int = 2
    max_length: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, {**_COMMON, "beta": (1e-6, 10.0), "imitation": (0.0, 100.0)})
