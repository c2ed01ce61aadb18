"""Every format of one model side by side, measured in one run, with a verdict on each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError, OptionError
from converters.evaluate.engines import check_model, engine_of, stored_bits
from converters.evaluate.faithfulness import worst, wrong_table
from converters.evaluate.grid import grid_share
from converters.evaluate.llm import Conditions, finished
from converters.evaluate.machine import machine_name
from converters.evaluate.nlu import dataset_name
from converters.evaluate.pages import table
from converters.evaluate.pictures import bars, scatter
from converters.evaluate.shelf import Shelf
from converters.progress import Report, silent
from converters.texts import check_text

SCORE: Final = "answer_faithfulness"
FINE_SCORE: Final = "reply_accuracy"
"""The task scores that formats are judged by: a few replies as they are said, and thousands of
tokens of the replies hoped for, where a loss of one hundredth can be told from chance."""

_ALLOWED: Final[Mapping[int, float]] = {8: 0.01, 4: 0.03}
_WORST: Final = 5
_COLUMNS: Final = {
    "size_mb": "MB",
    "bits_per_weight": "bits/weight",
    "mean_kl": "mean KL",
    "top1_agreement": "top-1",
    "perplexity": "perplexity",
    SCORE: "faithful",
    FINE_SCORE: "reply accuracy",
    "answer_supported": "supported",
    "compliance_misses": "compliance misses",
    "tokens_per_s": "tokens/s",
    "first_token_ms": "first token ms",
    "peak_memory_mb": "peak MiB",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a format may ship: ``losses`` are shares of the reference's task scores.

    ``passed`` is ``None`` where there is nothing to judge, ``why`` says why in every case.
    """

    bits: int
    losses: Mapping[str, float]
    passed: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class Format:
    """One format of the model: what was measured of it."""

    name: str
    sha256: str
    metrics: Mapping[str, float]
    verdict: Verdict
    wrong: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A model that could not be measured, and why not."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All formats that could be measured, the reference first, and those that could not."""

    formats: tuple[Format, ...]
    failed: tuple[Failure, ...]
    text: str
    task: str
    machine: str
    threads: int
    notes: tuple[str, ...]

    @property
    def refused(self) -> tuple[Format, ...]:
        return tuple(item for item in self.formats if item.verdict.passed is False)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def page(self) -> str:
        reference = self.formats[0].name
        lines = [f"# {reference} and its smaller formats", ""]
        lines += [f"- text: {self.text}", f"- task: {self.task or 'none given'}"]
        lines += [f"- machine: {self.machine}, {self.threads} threads", ""]
        columns = {
            key: title
            for key, title in _COLUMNS.items()
            if any(key in item.metrics for item in self.formats)
        }
        rows = [
            (item.name, *(_cell(item.metrics.get(key)) for key in columns), _word(item.verdict))
            for item in self.formats
        ]
        lines += [*table(("format", *columns.values(), "verdict"), rows), ""]
        lines += [f"- {item.name}: {item.verdict.why}" for item in self.formats[1:]]
        lines += [f"- {item.name} could not be measured: {item.why}" for item in self.failed]
        lines += ["", *self._by_language(), *(f"- {note}" for note in self.notes)]
        for item in self.formats:
            if item.wrong:
                lines += ["", f"## What {item.name} got wrong", "", *wrong_table(item.wrong)]
        return "\n".join(lines) + "\n"

    def figures(self) -> list[str]:
        if not self.formats[1:]:
            return []
        kl = {
            item.name: (item.metrics["size_mb"], item.metrics["mean_kl"])
            for item in self.formats[1:]
        }
        drawn = [
            scatter(kl, title="Divergence against size", x_label="MB", y_label="mean KL, nats")
        ]
        if self.task:
            marked = [item.name for item in self.refused]
            for name in (SCORE, FINE_SCORE):
                scores = {item.name: item.metrics.get(name, 0.0) for item in self.formats}
                drawn.append(bars(scores, title=_COLUMNS[name], label=name, marked=marked))
        return drawn

    def _by_language(self) -> list[str]:
        prefix = f"{SCORE}."
        languages = sorted(
            {name.removeprefix(prefix) for item in self.formats for name in item.metrics}
            & {name.removeprefix(prefix) for name in self.formats[0].metrics if prefix in name}
        )
        if not languages:
            return []
        rows = [
            (item.name, *(_cell(item.metrics.get(prefix + code)) for code in languages))
            for item in self.formats
        ]
        return [*table(("faithful, by language", *languages), rows), ""]


def compare(
    models: Sequence[Path],
    conditions: Conditions,
    *,
    reference: Path,
    kept: Path | None = None,
    progress: Report = silent,
) -> Comparison:
    """Measure ``reference`` and then each of ``models`` against it.

    A format of 8 bits may lose one hundredth of the reference's task scores, one of 4 bits three.
    A model that fails is told of in the result and costs the others nothing.

    Args:
        models: GGUF files and folders of ONNX or safetensors; the reference among them is skipped.
        conditions: text, task, threads.
        reference: the unquantised model.
        kept: a folder that holds what is measured until all of it is, so that another run with the
            same conditions takes only what is missing; nothing is kept where ``None``.
        progress: told how far it is.

    Raises:
        OptionError: nothing to compare, two models with one name, or another process uses ``kept``.
        ModelFileError: a model is no sound file or folder.
        DatasetError: the text is missing, empty, too long or not UTF-8.
        ConversionError: an engine failed on the reference.
        StorageError: the disk is full or cannot be written.
    """
    others = [model for model in models if model.resolve() != reference.resolve()]
    names = [model.name for model in (reference, *others)]
    if not others or len(set(names)) < len(names):
        raise OptionError("Models are compared by name: give at least two different ones.")
    for model in (reference, *others):
        check_model(model)
    check_text(conditions.text)
    with tempfile.TemporaryDirectory() as work:
        shelf = Shelf(kept or Path(work), reference, conditions)
        with shelf.open():
            found = [_format(reference, shelf, None, progress)]
            failed: list[Failure] = []
            for model in others:
                try:
                    found.append(_format(model, shelf, found[0].metrics, progress))
                except ConversionError as error:
                    failed.append(Failure(model.name, error.message))
            if kept is not None and not failed:
                shutil.rmtree(kept)
    return Comparison(
        tuple(found),
        tuple(failed),
        dataset_name(conditions.text),
        conditions.task.name if conditions.task else "",
        machine_name(),
        conditions.threads,
        _notes(reference),
    )


def _format(
    model: Path, shelf: Shelf, against: Mapping[str, float] | None, progress: Report
) -> Format:
    taken = shelf.measured(model, progress)
    result = finished(model, taken.metrics, taken.replies, shelf.conditions, bars={})
    metrics = result.card.metrics
    verdict = judged(metrics, against, stored_bits(model))
    wrong = worst(result.outcomes, _WORST)
    return Format(model.name, result.card.subject, metrics, verdict, wrong)


def judged(
    metrics: Mapping[str, float], reference: Mapping[str, float] | None, bits: int
) -> Verdict:
    """Hold a format's task scores against the reference's (``None``: it is the reference).

    Of the replies it may always lose one, because no fewer can be lost; of the tokens of the
    hoped-for replies no more than allowed.
    """
    if reference is None:
        return Verdict(bits, {}, None, "the reference")
    if bits not in _ALLOWED:
        return Verdict(bits, {}, None, "not quantised: nothing to judge")
    scores = [name for name in (SCORE, FINE_SCORE) if name in metrics and name in reference]
    if not scores:
        return Verdict(bits, {}, None, "not judged: no task was given")
    if any(reference[name] == 0 for name in scores):
        why = "refused: the reference itself answers nothing faithfully, so there is no scale"
        return Verdict(bits, {}, False, why)
    losses = {name: 1 - metrics[name] / reference[name] for name in scores}
    allowed = dict.fromkeys(scores, _ALLOWED[bits])
    if SCORE in allowed:
        one_reply = 1 / (reference[SCORE] * reference["replies"])
        allowed[SCORE] = max(allowed[SCORE], one_reply)
    # Rounding must not refuse what lost exactly as much as it may.
    passed = all(losses[name] <= allowed[name] + 1e-9 for name in scores)
    told = "; ".join(
        f"{_COLUMNS[name]} {metrics[name]:.3f} against {reference[name]:.3f}, "
        f"{losses[name]:+.1%} lost of {allowed[name]:.1%} allowed"
        for name in scores
    )
    return Verdict(bits, losses, passed, f"{'passed' if passed else 'refused'}: {told}")


def _notes(reference: Path) -> tuple[str, ...]:
    if engine_of(reference) != "llama" or not reference.is_file():
        return ()
    share = grid_share(reference)
    if share == 0:
        return ()
    return (
        f"{share:.0%} of the reference's matrix weights lie on the grid of a 4-bit file they were "
        "recovered from. Such weights re-quantise almost for free: the losses of 4-bit formats "
        "here are smaller than they would be for the original weights.",
    )


def _word(verdict: Verdict) -> str:
    return {True: "passed", False: "refused", None: "-"}[verdict.passed]


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
