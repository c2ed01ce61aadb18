"""One training of a task on hidden states, from the start to an averaged network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from converters.encoder.objective import Wanted, loss
from converters.encoder.settings import FEW, UNKNOWN, TaskSettings
from converters.encoder.states import States, batches
from converters.encoder.task import TaskNetwork

_DECAY: Final = 0.01
_WARM_UP: Final = 0.1
_CLIP: Final = 1.0
_TOLD_EVERY: Final = 20
HIDING: Final = 0.1
EVALUATED: Final = 128
"""Texts in one pass that only measures."""


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Lines: ``states``, and labels by index, unknown ones as :data:`UNKNOWN`.

    ``intents`` (n), ``sentiments`` (n), ``tags`` (all tokens, one after the other); ``outside`` is
    the index of out of scope, or -1.
    """

    states: States
    intents: Tensor
    sentiments: Tensor
    tags: Tensor
    outside: int

    def wanted(self, rows: list[int], tokens: int, taught: Tensor | None) -> Wanted:
        """Labels of ``rows``, padded to ``tokens``; ``taught`` (n, k) are a teacher's logits."""
        tags = torch.full((len(rows), tokens), UNKNOWN)
        for place, row in enumerate(rows):
            start, end = int(self.states.offsets[row]), int(self.states.offsets[row + 1])
            tags[place, : end - start] = self.tags[start:end]
        picked = None if taught is None else taught[rows]
        return Wanted(self.intents[rows], self.sentiments[rows], tags, picked)


class Round:
    """Trains ``network`` on ``rows`` of ``data``; ``average`` is what comes of it."""

    def __init__(
        self, network: TaskNetwork, data: Data, rows: Sequence[int], settings: TaskSettings
    ) -> None:
        self._network = network
        self._data = data
        self._rows = rows
        self._settings = settings
        self.average = _copy(network)
        self._step = 0
        self._hiding = hiding(data.intents)
        heads = [*network.intent.parameters(), *network.sentiment.parameters()]
        heads += network.tags.parameters()
        self._optimizer = torch.optim.AdamW(
            [
                {"params": list(network.layers.parameters()), "lr": settings.learning_rate},
                {"params": heads, "lr": settings.head_rate},
            ],
            weight_decay=_DECAY,
            fused=True,
        )
        self._rates = [float(group["lr"]) for group in self._optimizer.param_groups]

    def train(
        self, taught: Tensor | None, kept: Path, report: Callable[[int, int, float], None]
    ) -> None:
        """Train to the end; ``report`` hears the step, of how many, and its loss.

        Args:
            taught: a teacher's intent logits of every line, (n, k).
            kept: file of the checkpoint, from which a killed training continues.
            report: told now and then.
        """
        lines, size = len(self._rows), self._settings.batch
        steps = self._settings.steps_for(lines)
        for epoch in range(self._resume(kept), self._settings.epochs_for(lines)):
            self._network.train()
            order = np.random.default_rng((self._settings.seed, epoch)).permutation(self._rows)
            at = batches(self._data.states.lengths, size, order.tolist())
            for number, rows in enumerate(at):
                value = self._learn(rows, taught, steps)
                if number % _TOLD_EVERY == 0:
                    report(self._step, steps, value)
            self._keep(kept, epoch + 1)
        kept.unlink(missing_ok=True)

    def logits(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Logits of intents (len(rows), k) and of sentiments (len(rows), s)."""
        lengths = self._data.states.lengths
        order = sorted(range(len(rows)), key=lambda place: int(lengths[rows[place]]))
        intents = torch.zeros(len(rows), self.average.intent.out_features)
        feelings = torch.zeros(len(rows), self.average.sentiment.out_features)
        self.average.eval()
        with torch.inference_mode(), _autocast():
            for start in range(0, len(order), EVALUATED):
                places = order[start : start + EVALUATED]
                batch = self._data.states.batch([rows[place] for place in places])
                out = self.average(*map(torch.from_numpy, batch))
                intents[places], feelings[places] = out.intent, out.sentiment
        return intents, feelings

    def _learn(self, rows: list[int], taught: Tensor | None, steps: int) -> float:
        """One step; returns the loss before it."""
        hidden, mask = map(torch.from_numpy, self._data.states.batch(rows))
        wanted = self._data.wanted(rows, hidden.shape[1], taught)
        share = _rate(self._step, steps)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        with _autocast():
            value = loss(
                self._network,
                hidden,
                mask,
                wanted,
                outside=self._data.outside,
                hiding=self._hiding,
            )
        self._optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), _CLIP)
        self._optimizer.step()
        self._step += 1
        # Early on, when the weights still move fast, the average follows closely.
        decay = min(self._settings.averaging, (1 + self._step) / (10 + self._step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self._network.parameters()), 1 - decay
            )
        return float(value.detach())

    def _keep(self, path: Path, epoch: int) -> None:
        unfinished = path.with_suffix(".partial")
        state = {
            "network": self._network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "step": self._step,
            "epoch": epoch,
        }
        torch.save(state, unfinished)
        unfinished.replace(path)

    def _resume(self, path: Path) -> int:
        """The epoch to begin with; this run's own checkpoint is read as plain tensors."""
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True)
        self._network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self._step = state["step"]
        return int(state["epoch"])


def hiding(intents: Tensor) -> float:
    """Share of the tokens that a view does not see, where lines are few. Ten lines an intent gained
    half a point on CLINC150 and a sixth on BANKING77 (both not their test parts); full sets lost a
    tenth."""
    counts = torch.bincount(intents[intents != UNKNOWN])
    return HIDING if float(counts[counts > 0].float().median()) < FEW else 0.0


def _copy(network: TaskNetwork) -> TaskNetwork:
    return copy.deepcopy(network).requires_grad_(False).eval()


def _rate(step: int, steps: int) -> float:
    """Up to 1 over the first tenth, then down to 0, both in a straight line."""
    warm = max(1, int(steps * _WARM_UP))
    return (step + 1) / warm if step < warm else max(0.0, (steps - step) / (steps - warm))


def _autocast() -> torch.autocast:
    # bfloat16 is twice as fast where the processor multiplies it, and far slower where not.
    return torch.autocast("cpu", torch.bfloat16, enabled=_multiplies_bfloat16())


def _multiplies_bfloat16() -> bool:
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
