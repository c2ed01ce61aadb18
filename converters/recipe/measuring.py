"""The language-model half of a recipe's measuring: text out of conversations, cards of formats."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from converters.distill.conversations import read_conversations
from converters.errors import ConversionError
from converters.evaluate.compare import compare
from converters.evaluate.llm import Conditions, Task, read_task
from converters.evaluate.pages import write_pages
from converters.progress import Report
from converters.recipe.schema import Evaluate
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.documents import canonical_json
from edge_runtime.files import write_atomic

CARDS: Final = "cards"
WITHIN: Final = "within_allowed_loss"
"""1 when the format lost no more of the reference's task scores than formats of its bits may."""

_CONVERSATIONS: Final = ".jsonl"


def domain_text(source: Path, folder: Path) -> Path:
    """``source`` itself if it is plain text; of conversations, what is said in them, as a file of
    the same name in ``folder``.

    Raises:
        DatasetError: the conversations are broken.
    """
    if source.suffix != _CONVERSATIONS:
        return source
    said = [
        "\n".join([*(message["content"] for message in line.prompt), line.reply]).strip()
        for line in read_conversations(source)
    ]
    target = folder / f"{source.stem}.txt"
    write_atomic(target, "\n\n".join(said).encode())
    return target


def evaluate_all(
    formats: dict[str, Path],
    reference: Path,
    data: Path,
    pack: Path | None,
    options: Evaluate,
    out: Path,
    *,
    threads: int,
    progress: Report,
) -> None:
    """Measure each of ``formats`` against ``reference`` and write their cards and the comparison
    into ``out``; a card's only bar is what the comparison allows its format to lose.

    Raises:
        DatasetError, ModelFileError, StorageError: as :func:`compare` says.
        ConversionError: a format could not be measured; the others are not measured again.
    """
    text = domain_text(data, out / ".text")
    task: Task | None = None
    if data.suffix == _CONVERSATIONS and pack is not None and options.replies:
        task = read_task(data, pack, options.replies)
    conditions = Conditions(text, options.max_tokens, threads, task)
    found = compare(
        list(formats.values()),
        conditions,
        reference=reference,
        kept=out / ".measured",
        progress=progress,
    )
    if found.failed:
        told = "; ".join(f"{item.name}: {item.why}" for item in found.failed)
        raise ConversionError(
            f"Not every format could be measured: {told}",
            hint="What was measured is kept: the next run takes only what is missing.",
        )
    by_file = {item.name: item for item in found.formats}
    dataset = f"{found.text}, {found.task}" if found.task else found.text
    for name, path in formats.items():
        item = by_file[path.name]
        metrics, bars = dict(item.metrics), {}
        if item.verdict.passed is not None:
            metrics |= {f"{score}_loss": loss for score, loss in item.verdict.losses.items()}
            metrics[WITHIN] = float(item.verdict.passed)
            bars[WITHIN] = Bar(1.0)
        card = QualityCard(item.sha256, dataset[:200], metrics, bars)
        write_atomic(out / CARDS / f"{name}.card.json", card.to_json())
    write_pages(out / "comparison.html", found.page(), found.figures())
    write_atomic(out / "comparison.json", canonical_json(found.as_json()))
