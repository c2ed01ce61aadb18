"""Trains a task on hidden states; ``python -m converters.encoder.fit JOB``.

``JOB`` is a file with a JSON object: ``source`` (the whole encoder's file, for the layers to start
from), ``words`` (the student's), ``depth`` (of the trunk), ``states`` (a folder of
:mod:`converters.encoder.states`), ``labels`` (an ``.npz`` of ``intents`` (n), ``sentiments`` (n)
and ``tags`` (all tokens, one after the other): indexes, -100 for unknown), ``sizes`` (of the
heads), ``outside`` (index of out of scope, or -1), ``scratch`` (a folder for checkpoints, from
which a later run continues), ``out`` (the graph ``task.onnx``), ``tested`` (a JSON list of texts to
measure on, each a list of piece ids), ``whole`` (an ``.npy`` of what the network says of them in 32
bits), ``threads`` and ``settings`` (those of :class:`.settings.TaskSettings`).
``[done/all]`` lines on standard error tell how far it is.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from converters.child import tell_progress
from converters.encoder.body import Trunk, Words
from converters.encoder.objective import Wanted, loss
from converters.encoder.settings import UNKNOWN, TaskSettings
from converters.encoder.states import States, batches, read_states
from converters.encoder.task import Sizes, TaskNetwork
from edge_runtime.files import write_atomic
from edge_runtime.nlu.e5file import E5File

_DECAY: Final = 0.01
_WARM_UP: Final = 0.1
_CLIP: Final = 1.0
_EVALUATED: Final = 128


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    states: States
    intents: Tensor
    sentiments: Tensor
    tags: Tensor
    outside: int

    def wanted(self, rows: list[int], tokens: int, taught: Tensor | None) -> Wanted:
        tags = torch.full((len(rows), tokens), UNKNOWN)
        for place, row in enumerate(rows):
            start, end = int(self.states.offsets[row]), int(self.states.offsets[row + 1])
            tags[place, : end - start] = self.tags[start:end]
        picked = None if taught is None else taught[rows]
        return Wanted(self.intents[rows], self.sentiments[rows], tags, picked)


def fit(job: dict[str, Any]) -> None:
    settings = TaskSettings(**job["settings"])
    torch.set_num_threads(job["threads"])
    file = E5File(Path(job["source"]))
    sizes = Sizes(**job["sizes"])
    data = _read(job, file.shape.hidden)
    epochs = settings.epochs_for(len(data.intents))
    scratch = Path(job["scratch"])
    taught: Tensor | None = None
    for turn in range(settings.rounds):
        torch.manual_seed(settings.seed + turn)
        round_ = _Round(TaskNetwork(file, job["depth"], sizes, settings.dropout), data, settings)
        done = scratch / f"round-{turn}.safetensors"
        if done.exists():
            round_.average.load_state_dict(load_file(done))
        else:
            round_.train(epochs, taught, scratch, partial(_report, turn, settings.rounds))
            _save(round_.average, done)
        if turn < settings.rounds - 1:
            taught = round_.logits()
    tested = json.loads(Path(job["tested"]).read_bytes())
    words, trunk = Words(E5File(Path(job["words"]))), Trunk(file, job["depth"])
    np.save(job["whole"], _whole(round_.average, words, trunk, tested), allow_pickle=False)
    write_atomic(Path(job["out"]), round_.average.graph(sizes))


def _whole(
    network: TaskNetwork, words: Words, trunk: Trunk, texts: list[list[int]]
) -> npt.NDArray[np.float32]:
    """Intent logits (n, intents) of ``texts``, everything in 32 bits."""
    out = torch.zeros(len(texts), network.intent.out_features)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    with torch.inference_mode():
        for start in range(0, len(order), _EVALUATED):
            rows = order[start : start + _EVALUATED]
            embeddings, mask = words.batch([texts[row] for row in rows])
            out[rows] = network(trunk(embeddings, mask), mask).intent
    found: npt.NDArray[np.float32] = out.numpy()
    return found


class _Round:
    """One training from the start to an averaged network."""

    def __init__(self, network: TaskNetwork, data: _Data, settings: TaskSettings) -> None:
        self._network = network
        self._data = data
        self._settings = settings
        self.average = _copy(network)
        self._step = 0
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
        self,
        epochs: int,
        taught: Tensor | None,
        scratch: Path,
        report: Callable[[int, int, float], None],
    ) -> None:
        lines = len(self._data.intents)
        steps = -(-lines // self._settings.batch) * epochs
        kept = scratch / "checkpoint.pt"
        for epoch in range(self._resume(kept), epochs):
            self._network.train()
            order = np.random.default_rng((self._settings.seed, epoch)).permutation(lines)
            at = batches(self._data.states.lengths, self._settings.batch, order.tolist())
            for number, rows in enumerate(at):
                value = self._learn(rows, taught, steps)
                if number % 20 == 0:
                    report(self._step, steps, value)
            self._keep(kept, epoch + 1)
        kept.unlink(missing_ok=True)

    def logits(self) -> Tensor:
        """Intent logits of every line, (n, intents)."""
        states = self._data.states
        order = np.argsort(states.lengths, kind="stable").tolist()
        out = torch.zeros(len(order), self.average.intent.out_features)
        self.average.eval()
        with torch.inference_mode(), _autocast():
            for start in range(0, len(order), _EVALUATED):
                rows = order[start : start + _EVALUATED]
                hidden, mask = map(torch.from_numpy, states.batch(rows))
                out[rows] = self.average(hidden, mask).intent
        return out

    def _learn(self, rows: list[int], taught: Tensor | None, steps: int) -> float:
        """One step; returns the loss before it."""
        hidden, mask = map(torch.from_numpy, self._data.states.batch(rows))
        wanted = self._data.wanted(rows, hidden.shape[1], taught)
        share = _rate(self._step, steps)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        with _autocast():
            value = loss(self._network, hidden, mask, wanted, self._data.outside)
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
        return float(value)

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


def _read(job: dict[str, Any], width: int) -> _Data:
    states = read_states(Path(job["states"]), width)
    with np.load(job["labels"], allow_pickle=False) as stored:
        intents, sentiments, tags = (
            torch.from_numpy(stored[name].astype(np.int64))
            for name in ("intents", "sentiments", "tags")
        )
    return _Data(states, intents, sentiments, tags, job["outside"])


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


def _save(network: TaskNetwork, path: Path) -> None:
    unfinished = path.with_suffix(".partial")
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, unfinished)
    unfinished.replace(path)


def _report(turn: int, turns: int, step: int, steps: int, value: float) -> None:
    detail = f"step {step} of {steps} in round {turn + 1} of {turns}, loss {value:.3f}"
    tell_progress(turn * steps + step, turns * steps, detail)


def main(arguments: list[str]) -> int:
    fit(json.loads(Path(arguments[0]).read_bytes()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
