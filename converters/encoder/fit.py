"""Trains a task on hidden states; a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is a file with a JSON object: ``source`` (the whole encoder's file, for the layers to start
from), ``words`` (the student's), ``depth`` (of the trunk), ``states`` (a folder of
:mod:`converters.encoder.states`), ``labels`` (an ``.npz`` of ``intents`` (n), ``sentiments`` (n)
and ``tags`` (all tokens, one after the other): indexes, -100 for unknown), ``sizes`` (of the
heads), ``outside`` (index of out of scope, or -1), ``valid`` (how many of the lines, the last, are
to calibrate on), ``again`` (whether these are learnt, too, once what they say of layers that did
not learn them is known), ``lent`` (where there is none: how many of the lines, from the first, may
be held out in turn instead), ``apart`` (an ``.npz`` of what networks say of lines that they did not
learn: ``rows``, and logits ``intents`` and ``sentiments`` of these), ``scratch`` (a folder for
checkpoints, from which a later run continues), ``out`` (the graph ``task.onnx``), ``tested`` (a
JSON list of texts to measure on, each a list of piece ids), ``whole`` (an ``.npy`` of what the
network says of them in 32 bits), ``threads`` and ``settings`` (those of
:class:`.settings.TaskSettings`). ``[done/all]`` lines on standard error tell how far it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from converters.child import tell_progress
from converters.encoder.body import Embedding, Trunk, Words, mean_pool
from converters.encoder.linear import Linears, best_share, fit_linears
from converters.encoder.rounds import EVALUATED, Data, Round
from converters.encoder.settings import UNKNOWN, TaskSettings
from converters.encoder.smoothing import spread
from converters.encoder.states import read_states
from converters.encoder.task import Sizes, TaskNetwork
from edge_runtime.files import write_atomic
from edge_runtime.nlu.e5file import E5File

_PARTS: Final = 4
_ENOUGH: Final = 1000
"""Lines held out that calibrate well; fewer where there are fewer."""


def fit(job: dict[str, Any]) -> None:
    torch.set_num_threads(job["threads"])
    file = E5File(Path(job["source"]))
    data = _read(job, file.shape.hidden)
    settings = TaskSettings(**job["settings"])
    valid = list(range(len(data.intents) - job["valid"], len(data.intents)))
    learnt = _known(data.intents, [] if job["again"] else valid)
    parts = _parts(job, data.intents, valid, settings.seed)
    others = [_known(data.intents, part) for part in parts]
    total = sum(settings.steps_for(len(rows)) for rows in others + [learnt] * settings.rounds)
    work = _Work(job, file, data, settings, total)
    said = [_said_apart(work, number, others[number], part) for number, part in enumerate(parts)]
    taught: list[Tensor] = []
    for turn in range(settings.rounds):
        teacher = torch.stack(taught).mean(0) if taught else None
        round_ = work.trained(f"round-{turn}", turn, learnt, teacher)
        if turn < settings.rounds - 1:
            taught.append(round_.logits(range(len(data.intents)))[0].log_softmax(-1))
    linears = work.linears(learnt)
    heard = _together(said or [_said(work, round_, linears, valid)])
    linears = replace(linears, share=best_share(heard.trained, heard.beside, heard.wanted))
    _write_apart(heard, linears.share, Path(job["apart"]))
    np.save(job["whole"], _whole(work, round_.average, linears), allow_pickle=False)
    seen = [torch.from_numpy(data.states.batch([row])[0]) for row in spread(learnt)]
    write_atomic(Path(job["out"]), round_.average.graph(work.sizes, linears, seen))


def _known(intents: Tensor, less: Sequence[int]) -> list[int]:
    """Lines with an intent to learn, but those ``less``."""
    without = set(less)
    rows: list[int] = torch.nonzero(intents != UNKNOWN)[:, 0].tolist()
    return [row for row in rows if row not in without]


def _parts(
    job: dict[str, Any], intents: Tensor, valid: list[int], seed: int
) -> Sequence[list[int]]:
    """Lines that a network of their own does not learn, each part with its own."""
    if not valid:
        return held_out(intents[: job["lent"]], seed)
    return [valid] if job["again"] else []


@dataclass(slots=True)
class _Work:
    """What all trainings of a job share."""

    job: dict[str, Any]
    file: E5File
    data: Data
    settings: TaskSettings
    total: int
    done: int = 0

    @property
    def sizes(self) -> Sizes:
        return Sizes(**self.job["sizes"])

    def trained(self, name: str, turn: int, rows: Sequence[int], taught: Tensor | None) -> Round:
        """A training on ``rows``, or what an earlier run left of it."""
        settings = replace(self.settings, seed=self.settings.seed + turn)
        torch.manual_seed(settings.seed)
        network = TaskNetwork(self.file, self.job["depth"], self.sizes, settings.dropout)
        round_ = Round(network, self.data, rows, settings)
        scratch = Path(self.job["scratch"])
        kept = scratch / f"{name}.safetensors"
        if kept.exists():
            round_.average.load_state_dict(load_file(kept))
        else:
            round_.train(taught, scratch / f"{name}.pt", partial(self._report, name))
            _save(round_.average, kept)
        self.done += settings.steps_for(len(rows))
        return round_

    def linears(self, rows: Sequence[int]) -> Linears:
        """The classifiers on what is never trained, learnt from ``rows``."""
        data = self.data
        classes = self.sizes.intents
        return fit_linears(data.states, data.intents.numpy(), rows, classes, data.outside)

    def _report(self, name: str, step: int, steps: int, value: float) -> None:
        detail = f"step {step} of {steps} in {name}, loss {value:.3f}"
        tell_progress(self.done + step, self.total, detail)


def held_out(intents: Tensor, seed: int) -> list[list[int]]:
    """Rows to hold out in turn: a quarter of each intent's at a time, until they are enough.

    Args:
        intents: index of each line's intent, (n).
        seed: of who goes with whom.
    """
    shuffled = np.random.default_rng(seed).permutation(len(intents))
    dealt = shuffled[np.argsort(intents.numpy()[shuffled], kind="stable")]
    parts = [sorted(dealt[part::_PARTS].tolist()) for part in range(_PARTS)]
    needed = next((n for n in range(_PARTS) if sum(map(len, parts[:n])) >= _ENOUGH), _PARTS)
    return [part for part in parts[:needed] if part]


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """Of lines that were not learnt: logits of the trained layers and what the linear classifiers
    would add (n, k), logits of sentiments (n, s), and the intents wanted (n)."""

    trained: Tensor
    beside: Tensor
    felt: Tensor
    wanted: Tensor
    rows: Sequence[int]


def _said_apart(work: _Work, number: int, learnt: Sequence[int], part: Sequence[int]) -> _Said:
    """What is said of a part by a network that learnt from others (Stone, "Cross-Validatory Choice
    and Assessment of Statistical Predictions", 1974)."""
    round_ = work.trained(f"part-{number}", 0, learnt, None)
    return _said(work, round_, work.linears(learnt), part)


def _said(work: _Work, round_: Round, linears: Linears, rows: Sequence[int]) -> _Said:
    states, chosen = work.data.states, list(rows)
    trained, felt = round_.logits(rows)
    features = map(torch.from_numpy, (states.vectors[chosen], states.pooled[chosen]))
    wanted = work.data.intents[chosen]
    return _Said(trained, linears.logits(*features), felt, wanted, rows)


def _together(said: Sequence[_Said]) -> _Said:
    return _Said(
        torch.cat([one.trained for one in said]),
        torch.cat([one.beside for one in said]),
        torch.cat([one.felt for one in said]),
        torch.cat([one.wanted for one in said]),
        [row for one in said for row in one.rows],
    )


def _write_apart(said: _Said, share: float, path: Path) -> None:
    intents = (said.trained + share * said.beside).numpy()
    rows = np.array(said.rows)
    np.savez(path, allow_pickle=False, rows=rows, intents=intents, sentiments=said.felt.numpy())


def _whole(work: _Work, network: TaskNetwork, linears: Linears) -> npt.NDArray[np.float32]:
    """Intent logits (n, intents) of the texts to measure on, everything in 32 bits."""
    texts: list[list[int]] = json.loads(Path(work.job["tested"]).read_bytes())
    words, depth = Words(E5File(Path(work.job["words"]))), work.job["depth"]
    trunk, embedding = Trunk(work.file, depth), Embedding(work.file, depth)
    out = torch.zeros(len(texts), network.intent.out_features)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    with torch.inference_mode():
        for start in range(0, len(order), EVALUATED):
            rows = order[start : start + EVALUATED]
            embeddings, mask = words.batch([texts[row] for row in rows])
            hidden = trunk(embeddings, mask)
            beside = linears.logits(embedding(hidden, mask), mean_pool(hidden, mask))
            out[rows] = network(hidden, mask).intent + beside
    found: npt.NDArray[np.float32] = out.numpy()
    return found


def _read(job: dict[str, Any], width: int) -> Data:
    states = read_states(Path(job["states"]), width)
    with np.load(job["labels"], allow_pickle=False) as stored:
        intents, sentiments, tags = (
            torch.from_numpy(stored[name].astype(np.int64))
            for name in ("intents", "sentiments", "tags")
        )
    return Data(states, intents, sentiments, tags, job["outside"])


def _save(network: TaskNetwork, path: Path) -> None:
    unfinished = path.with_suffix(".partial")
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, unfinished)
    unfinished.replace(path)


def main(arguments: list[str]) -> int:
    fit(json.loads(Path(arguments[0]).read_bytes()))
    return 0
