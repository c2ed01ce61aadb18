"""How good, small and fast a language model is, against a reference on the same text."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Final

from converters.children import run_module
from converters.evaluate.engines import check_model, model_digest, model_size, weight_count
from converters.evaluate.faithfulness import Outcome, judge, task_metrics
from converters.evaluate.nlu import dataset_name
from converters.evaluate.questions import Question, read_questions
from converters.evaluate.replies import replies_of
from converters.progress import Report, silent
from converters.texts import check_text
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.packs import load_pack
from edge_runtime.packs.schema import Lexicon

MAX_REPLIES: Final = 30
_READ_PER_REPLY: Final = 5
_MEASURE: Final = "converters.evaluate.measure"


@dataclass(frozen=True, slots=True)
class Task:
    """Questions a model is asked, and the pack whose rules its replies are held to."""

    questions: tuple[Question, ...]
    """Asked: a reply to each is generated and judged."""
    hoped: tuple[Question, ...]
    """Read: how well the replies hoped for are expected."""
    lexicon: Lexicon
    name: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """What every model of a table is measured on, and with how many threads.

    Of ``text`` the first ``max_tokens`` tokens are read.
    """

    text: Path
    max_tokens: int = 4096
    threads: int = 2
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A card, and the replies behind its task scores."""

    card: QualityCard
    outcomes: tuple[Outcome, ...] = ()


def read_task(data: Path, pack_dir: Path, limit: int = MAX_REPLIES) -> Task:
    """Questions from ``data``: at most ``limit`` to ask, and five times as many to read.

    Raises:
        DatasetError: the data is broken.
        PackError: the pack is.
    """
    questions = read_questions(data, limit)
    read = read_questions(data, _READ_PER_REPLY * limit)
    hoped = tuple(question for question in read if question.expected)
    return Task(questions, hoped, load_pack(pack_dir).lexicon, dataset_name(data))


def evaluate_llm(
    model: Path,
    conditions: Conditions,
    *,
    reference: Path | None = None,
    bars: Mapping[str, Bar],
    progress: Report = silent,
) -> Measured:
    """Measure ``model`` on the text, in windows of 256 tokens, and on the replies it gives to the
    questions of the task.

    Every figure comes from a process that runs this model alone.

    Args:
        model: a GGUF file, a folder with ``model.onnx``, or a Hugging Face folder.
        conditions: text, task, threads.
        reference: the unquantised model, in any of these forms.
        bars: what the result has to clear.
        progress: told how far it is.

    Raises:
        ModelFileError: a model is no sound file or folder.
        DatasetError: the text is missing, empty, too long or not UTF-8.
        ConversionError: an engine failed, or the two models have different vocabularies.
    """
    check_model(model)
    check_text(conditions.text)
    with tempfile.TemporaryDirectory() as work:
        expected = None
        if reference is not None:
            check_model(reference)
            expected = Path(work) / "reference.npz"
            step = f"reading with {reference.name}"
            whole = replace(conditions, task=None)
            run_measure(reference, whole, progress, step=step, save=expected)
        step = f"measuring {model.name}"
        found = run_measure(model, conditions, progress, step=step, reference=expected)
    return finished(model, found, asked(model, conditions, progress), conditions, bars=bars)


def asked(model: Path, conditions: Conditions, progress: Report) -> tuple[str, ...]:
    """What ``model`` replies to the questions of the task; nothing where there is none.

    Raises:
        ConversionError: the engine failed.
    """
    if conditions.task is None:
        return ()
    questions, threads = conditions.task.questions, conditions.threads
    return replies_of(model, questions, threads=threads, progress=progress)


def finished(
    model: Path,
    found: Mapping[str, float],
    replies: Sequence[str],
    conditions: Conditions,
    *,
    bars: Mapping[str, Bar],
) -> Measured:
    """What was measured on the text, the model's size, and its task scores, as a card."""
    size = model_size(model)
    metrics = {**found, "size_mb": size / 1e6}
    if weights := weight_count(model):
        metrics["bits_per_weight"] = size * 8 / weights
    outcomes: tuple[Outcome, ...] = ()
    dataset, task = dataset_name(conditions.text), conditions.task
    if task is not None:
        outcomes = judge(task.questions, replies, task.lexicon)
        metrics |= task_metrics(outcomes)
        dataset = f"{dataset}, {task.name}"
    return Measured(QualityCard(model_digest(model), dataset[:200], metrics, dict(bars)), outcomes)


def run_measure(
    model: Path,
    conditions: Conditions,
    progress: Report,
    *,
    step: str,
    reference: Path | None = None,
    save: Path | None = None,
) -> dict[str, float]:
    """Run :mod:`converters.evaluate.measure` on one model.

    Raises:
        ConversionError: the engine failed, or the reference has another vocabulary.
    """
    with tempfile.TemporaryDirectory() as work:
        replies = Path(work) / "replies.json"
        items = conditions.task.hoped if conditions.task else ()
        hoped = [(*astuple(item.prompt), item.expected) for item in items]
        replies.write_text(json.dumps(hoped), "utf-8")
        job = {
            "model": str(model.resolve()),
            "text": str(conditions.text.resolve()),
            "max_tokens": conditions.max_tokens,
            "threads": conditions.threads,
            "reference": str(reference) if reference else None,
            "save": str(save) if save else None,
            "replies": str(replies) if hoped else None,
        }
        told = run_module(_MEASURE, [json.dumps(job)], step=step, progress=progress)
    found: dict[str, float] = json.loads(told)
    return found
