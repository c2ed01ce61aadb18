"""Measures one language model on a text; a :mod:`step <converters.child>` given ``JOB``.

A process of its own for every model, because engines may abort and because peak memory is a
process's. ``JOB`` is a JSON object: ``model`` (a path), ``text`` (a path), ``max_tokens``,
``threads``, ``reference`` (a file that an earlier run saved, or null), ``save`` (where to write
this model's expectations as such a reference, or null), ``replies`` (a file with a JSON list of
system, context, question and the reply hoped for, or null). The result is one JSON object on
standard output; ``[done/all]`` lines on standard error tell how far it is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from converters.child import Refused, answer
from converters.evaluate.engines import engine_of
from converters.evaluate.scoring import (
    Reference,
    Scorer,
    expectations,
    reply_accuracy,
    speed,
    windows_of,
)
from edge_runtime.generation import Prompt


def open_scorer(model: Path, threads: int) -> Scorer:
    """The model at ``model`` behind the engine that its files ask for.

    Raises:
        Refused: the engine cannot load it.
    """
    # Each engine is imported alone: the process's peak memory is measured.
    match engine_of(model):
        case "llama":
            from converters.evaluate.llama_measure import LlamaScorer

            return LlamaScorer(model, threads)
        case "onnx":
            from converters.evaluate.onnx_measure import OnnxScorer

            return OnnxScorer(model, threads)
        case "torch":
            from converters.evaluate.torch_measure import TorchScorer

            return TorchScorer(model, threads)


def measure(job: dict[str, Any]) -> dict[str, float]:
    os.environ["OMP_NUM_THREADS"] = str(job["threads"])
    model = open_scorer(Path(job["model"]), job["threads"])
    tokens = model.tokens(Path(job["text"]).read_text("utf-8"))
    windows = windows_of(tokens, job["max_tokens"])
    found = speed(model, windows)
    reference = Reference.load(Path(job["reference"])) if job["reference"] else None
    if reference is not None and reference.tokens.tolist() != [t for w in windows for t in w]:
        raise Refused("Model and reference have different vocabularies and cannot be compared.")
    save = Path(job["save"]) if job["save"] else None
    found |= expectations(model, windows, against=reference, save=save)
    if job["replies"]:
        asked = json.loads(Path(job["replies"]).read_text("utf-8"))
        found |= reply_accuracy(model, [(Prompt(*parts), reply) for *parts, reply in asked])
    return found


def main(arguments: list[str]) -> int:
    return answer(measure, arguments)
