"""Quality cards on disk: JSON for programs and a page for people."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from converters.dataset import suggestion
from converters.errors import ModelFileError, OptionError
from converters.evaluate.pages import write_pages
from converters.evaluate.pictures import bars
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.documents import MAX_DOCUMENT_BYTES
from edge_runtime.errors import StorageError
from edge_runtime.files import write_atomic

_AT_LEAST: Final = {
    "intent_accuracy": "share of utterances whose intent is right, out of scope included",
    "in_scope_accuracy": "share of in-scope utterances that are kept and given the right intent",
    "in_scope_argmax": "the same were nothing ever turned away",
    "out_of_scope_recall": "share of out-of-scope utterances that are turned away",
    "sentiment_macro_f1": "F1 averaged over negative, neutral and positive",
    "entity_f1": "F1 over (type, value) pairs",
    "answer_faithfulness": "share of replies that keep to the facts and say what was hoped for",
    "reply_accuracy": "share of the hoped-for replies' tokens that the model expects first",
    "answer_supported": "share of replies without a claim that the facts do not support",
    "top1_agreement": "share of tokens where model and reference expect the same next token",
    "within_allowed_loss": "1 when it lost no more of the task scores than its bits may",
    "tokens_per_s": "tokens generated a second",
    "prefill_tokens_per_s": "tokens of a prompt read a second",
}
_AT_MOST: Final = {
    "intent_ece": "expected calibration error of the intent's confidence, 15 bins of equal mass",
    "latency_p50_ms": "milliseconds an utterance, median",
    "latency_p95_ms": "milliseconds an utterance, 95th percentile",
    "compliance_misses": "replies that break a compliance rule of the pack",
    "answer_faithfulness_loss": "share of the reference's faithful replies that were lost",
    "reply_accuracy_loss": "share of the reference's reply accuracy that was lost",
    "mean_kl": "Kullback-Leibler divergence from the reference, nats a token",
    "perplexity": "perplexity on the text",
    "first_token_ms": "milliseconds to the first token after a prompt of 64",
    "peak_memory_mb": "most memory resident, MiB",
    "size_mb": "size of the files, MB",
    "bits_per_weight": "bits a weight on disk",
}
_FACTS: Final = {
    "rows": "labelled lines",
    "tokens": "tokens scored",
    "replies": "questions the model was asked",
    "threshold": "confidence below which an utterance is turned away",
}
_MEANINGS: Final[Mapping[str, str]] = {**_AT_LEAST, **_AT_MOST, **_FACTS}
_BAR: Final = re.compile(r"([a-z0-9_]+)(\.[a-z]{2,3})?=(-?[0-9]+(?:\.[0-9]+)?)")


def parse_bars(given: Iterable[str]) -> dict[str, Bar]:
    """``NAME=LIMIT`` texts as bars; whether a limit is a floor or a ceiling follows from the name.

    ``intent_accuracy.zh=0.9`` holds one language to a bar.

    Raises:
        OptionError: not of that form, or no such measure.
    """
    bars = {}
    for text in given:
        matched = _BAR.fullmatch(text.strip())
        if matched is None:
            raise OptionError(
                f"The bar '{text}' is not understood.",
                hint="Write it as --bar intent_accuracy=0.9 or --bar mean_kl=0.05.",
            )
        name, language, limit = matched[1], matched[2] or "", float(matched[3])
        if name not in _AT_LEAST and name not in _AT_MOST:
            known = {*_AT_LEAST, *_AT_MOST}
            raise OptionError(f"There is no measure '{name}'.", hint=suggestion(name, known))
        bars[name + language] = Bar(limit, "at_least" if name in _AT_LEAST else "at_most")
    return bars


def read_card(path: Path) -> QualityCard:
    """A card that anybody may have written.

    Raises:
        ModelFileError: there is no such file.
        ModelCorruptError: it is not a card.
    """
    try:
        with path.open("rb") as file:
            return QualityCard.from_json(file.read(MAX_DOCUMENT_BYTES + 1))
    except OSError as error:
        raise ModelFileError(f"The card {path} cannot be read: {error.strerror}.") from error


def write_card(
    card: QualityCard,
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    plots: bool = False,
    more: str = "",
) -> None:
    """Write ``path`` (JSON) and the page beside it (``.md``).

    Args:
        card: what was measured.
        path: of the JSON; the page takes its name.
        title: of the page.
        facts: what a reader must know besides, such as the machine.
        plots: write the page as HTML, too, with what was measured by language as pictures.
        more: Markdown that ends the page.

    Raises:
        StorageError: they cannot be written.
    """
    try:
        write_atomic(path, card.to_json())
        if not plots:
            write_atomic(path.with_suffix(".md"), (page(card, title, facts) + more).encode())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from error
    if plots:
        write_pages(path, page(card, title, facts) + more, _figures(card))


def _figures(card: QualityCard) -> list[str]:
    """Measures that are shares, by language."""
    by_measure: dict[str, dict[str, float]] = defaultdict(dict)
    for name, value in sorted(card.metrics.items()):
        base, _, language = name.partition(".")
        if language and base in _AT_LEAST:
            by_measure[base][language] = value
    drawn = []
    for base, values in by_measure.items():
        shown = {"all": card.metrics[base], **values} if base in card.metrics else values
        bar = card.bars.get(base)
        low = [name for name, value in shown.items() if bar and not bar.clears(value)]
        limit = bar.limit if bar else None
        drawn.append(bars(shown, title=base, label=_AT_LEAST[base], limit=limit, marked=low))
    return drawn


def page(card: QualityCard, title: str, facts: Mapping[str, str]) -> str:
    """The card as Markdown."""
    missed = {miss.metric for miss in card.misses()}
    if not card.bars:
        verdict = "No bars were set."
    elif missed:
        verdict = "**Refused**: " + "; ".join(str(miss) for miss in card.misses()) + "."
    else:
        verdict = "Every bar is cleared."
    lines = [f"# {title}", "", verdict, ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- data: {card.dataset}", f"- measured: sha256 {card.subject}", ""]
    lines += ["| measure | value | bar | meaning |", "|---|---:|---|---|"]
    for name in sorted({*card.metrics, *card.bars}):
        value = card.metrics.get(name)
        shown = "not measured" if value is None else f"{value:.4g}"
        lines.append(f"| {name} | {shown} | {_bar(card, name, missed)} | {_meaning(name)} |")
    return "\n".join(lines) + "\n"


def _bar(card: QualityCard, name: str, missed: set[str]) -> str:
    if name not in card.bars:
        return ""
    bar = card.bars[name]
    sign = "≥" if bar.kind == "at_least" else "≤"
    return f"{sign} {bar.limit:g} {'missed' if name in missed else 'cleared'}"


def _meaning(name: str) -> str:
    base, _, language = name.partition(".")
    meaning = _MEANINGS.get(base, "")
    return f"{meaning}, in '{language}'" if language and meaning else meaning
