"""``edge-convert evaluate``: measure a model and write its quality card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from converters.commands.options import Bars, Json, Outside, Threads
from converters.errors import BarsMissedError, ConversionError
from converters.evaluate import compare as comparing
from converters.evaluate import sensitivity as sweeping
from converters.evaluate.cards import page, parse_bars, write_card
from converters.evaluate.compare import Comparison
from converters.evaluate.faithfulness import wrong_replies
from converters.evaluate.llm import MAX_REPLIES, Conditions, Task, evaluate_llm, read_task
from converters.evaluate.machine import machine_name
from converters.evaluate.nlu import NluModel, evaluate_nlu
from converters.evaluate.pages import write_pages
from converters.evaluate.sensitivity import Sensitivity
from converters.progress import shown
from edge_runtime.bundles.card import QualityCard
from edge_runtime.bundles.documents import canonical_json
from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.config import load_settings
from edge_runtime.errors import StorageError
from edge_runtime.files import write_atomic
from edge_runtime.packs import load_pack
from edge_runtime.turn import OUT_OF_SCOPE
from edge_runtime.wiring import Engines

app = typer.Typer(help="Measure a model and write its quality card.", no_args_is_help=True)

CardFile = Annotated[
    Path | None,
    typer.Option("--card", metavar="CARD.json", help="Write the card here, and a page beside it."),
]

Text = Annotated[Path, typer.Option("--text", metavar="FILE", help="Text of the domain.")]
TaskFile = Annotated[
    Path | None, typer.Option("--task", metavar="FILE.jsonl", help="Conversations to reply in.")
]
Pack = Annotated[
    str | None, typer.Option("--pack", help="A pack's name, or the path of its folder.")
]
OutFile = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE.json", help="Write it here, with pages beside."),
]
Replies = Annotated[
    int, typer.Option("--replies", min=1, max=10_000, help="Questions to ask at most.")
]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", min=64, max=1_000_000, help="Tokens to measure on.")
]


@app.command("nlu")
def nlu(
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE.jsonl", help="Labelled utterances.")
    ],
    pack: Pack = None,
    bar: Bars = None,
    card: CardFile = None,
    outside: Outside = OUT_OF_SCOPE,
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """Intent, sentiment and entities of a pack against labelled utterances, by language.

    Each line of the data is an object with a [bold]text[/] and what is labelled of [bold]intent[/],
    [bold]sentiment[/], [bold]entities[/] and [bold]lang[/]. Exits with 8 when a bar is missed.

    [bold]Examples[/]

    edge-convert evaluate nlu --data heldout.jsonl

    edge-convert evaluate nlu --data heldout.jsonl --bar intent_accuracy=0.9 --card nlu.card.json
    """
    with reported(as_json=json):
        bars = parse_bars(bar or [])
        settings = load_settings(pack=pack)
        engines = Engines(settings, load_pack(settings.pack_dir))
        with shown() as progress:
            measured = evaluate_nlu(
                data,
                settings.pack_dir,
                NluModel(engines.encoder_files, engines.heads.task),
                settings.models_dir / "derived",
                bars=bars,
                threads=threads,
                outside=outside,
                progress=progress,
            )
        facts = {"pack": settings.pack_dir.name, "encoder": settings.engines.encoder}
        _tell(measured, f"Understanding of {settings.pack_dir.name}", facts, card, as_json=json)


@app.command("llm")
def llm(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model to measure.")],
    text: Text,
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="REF", help="The unquantised model.")
    ] = None,
    task: TaskFile = None,
    pack: Pack = None,
    bar: Bars = None,
    card: CardFile = None,
    replies: Replies = MAX_REPLIES,
    max_tokens: MaxTokens = 4096,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Size, memory, speed and perplexity of a language model, how far it is from its reference,
    and how faithfully it answers.

    A model is a GGUF file, a folder with [bold]model.onnx[/], or a Hugging Face folder. The task is
    JSON Lines of conversations in the runtime's form: [bold]messages[/] with the rules and facts, a
    question and a reply. Exits with 8 when a bar is missed.

    [bold]Examples[/]

    edge-convert evaluate llm small.gguf --text shop.txt

    edge-convert evaluate llm small.gguf --reference big.gguf --text shop.txt --task valid.jsonl
    --bar mean_kl=0.05 --bar compliance_misses=0 --card small.card.json
    """
    with reported(as_json=json):
        bars = parse_bars(bar or [])
        asked = _task(task, pack, replies)
        with shown() as progress:
            measured = evaluate_llm(
                model,
                Conditions(text, max_tokens, threads, asked),
                reference=reference,
                bars=bars,
                progress=progress,
            )
        facts = {"model": model.name, "threads": str(threads)}
        if reference is not None:
            facts["reference"] = reference.name
        _tell(
            measured.card,
            f"Quality of {model.name}",
            facts,
            card,
            as_json=json,
            more=wrong_replies(measured.outcomes),
        )


@app.command("compare")
def compare(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL…", help="Formats of one model, any kind.")
    ],
    text: Text,
    reference: Annotated[
        Path, typer.Option("--reference", metavar="REF", help="The unquantised model.")
    ],
    task: TaskFile = None,
    pack: Pack = None,
    target: OutFile = None,
    replies: Replies = MAX_REPLIES,
    max_tokens: MaxTokens = 4096,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Every format of one model side by side: size, divergence, task score, speed, memory.

    An 8-bit format may lose 1 % of the reference's task score, a 4-bit one 3 %; others are refused,
    and the command exits with 8. A model that cannot be measured is named with the reason, and the
    command exits with 4; with [bold]--out[/], the next run measures only what is missing.

    [bold]Examples[/]

    edge-convert evaluate compare shop.q8.gguf shop.q4.gguf shop-int4/ --reference shop.f16.gguf
    --text shop.txt --task valid.jsonl --out shop.json
    """
    with reported(as_json=json):
        asked = _task(task, pack, replies)
        with shown() as progress:
            found = comparing.compare(
                models,
                Conditions(text, max_tokens, threads, asked),
                reference=reference,
                kept=target.with_name(f".{target.name}.measured") if target else None,
                progress=progress,
            )
        _show(found, target, as_json=json)
    if found.failed:
        raise typer.Exit(ConversionError.exit_code)
    if found.refused:
        raise typer.Exit(BarsMissedError.exit_code)


@app.command("sensitivity")
def sensitivity(
    model: Annotated[Path, typer.Argument(metavar="MODEL.gguf", help="The unquantised model.")],
    text: Text,
    target: OutFile = None,
    max_tokens: MaxTokens = 2048,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Which tensors cost most in 4 bits: each kind and each quarter of the layers alone.

    What costs most for its size is worth [bold]--keep[/] when quantising.

    [bold]Examples[/]

    edge-convert evaluate sensitivity shop.f16.gguf --text shop.txt --out sweep.json
    """
    with reported(as_json=json):
        with shown() as progress:
            found = sweeping.sensitivity(
                model, text, max_tokens=max_tokens, threads=threads, progress=progress
            )
        _show(found, target, as_json=json)


def _task(data: Path | None, pack: str | None, replies: int) -> Task | None:
    return read_task(data, load_settings(pack=pack).pack_dir, replies) if data else None


def _show(found: Comparison | Sensitivity, file: Path | None, *, as_json: bool) -> None:
    if file is not None:
        try:
            write_atomic(file, canonical_json(found.as_json()))
        except OSError as error:
            raise StorageError(f"{file} cannot be written: {error.strerror}.") from error
        write_pages(file, found.page(), found.figures())
    if as_json:
        print_json(found.as_json())
    else:
        out.print(found.page(), markup=False, soft_wrap=True)


def _tell(
    measured: QualityCard,
    title: str,
    facts: dict[str, str],
    file: Path | None,
    *,
    as_json: bool,
    more: str = "",
) -> None:
    facts = {**facts, "machine": machine_name()}
    if file is not None:
        write_card(measured, file, title=title, facts=facts, plots=True, more=more)
    misses = measured.misses()
    if as_json:
        print_json(
            {
                "subject": measured.subject,
                "dataset": measured.dataset,
                "metrics": dict(measured.metrics),
                "misses": [str(miss) for miss in misses],
                "card": str(file) if file else None,
                **facts,
            }
        )
    else:
        out.print(page(measured, title, facts) + more, markup=False, soft_wrap=True)
    if misses:
        raise typer.Exit(BarsMissedError.exit_code)
