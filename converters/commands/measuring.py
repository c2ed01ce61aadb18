"""``edge-convert evaluate``: measure a model and write its quality card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from converters.commands.options import Bars, Json, Outside, Threads, encoder_files
from converters.errors import BarsMissedError
from converters.evaluate.cards import page, parse_bars, write_card
from converters.evaluate.llm import evaluate_llm
from converters.evaluate.machine import machine_name
from converters.evaluate.nlu import evaluate_nlu
from converters.progress import shown
from edge_runtime.bundles.card import QualityCard
from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.config import load_settings
from edge_runtime.turn import OUT_OF_SCOPE

app = typer.Typer(help="Measure a model and write its quality card.", no_args_is_help=True)

CardFile = Annotated[
    Path | None,
    typer.Option("--card", metavar="CARD.json", help="Write the card here, and a page beside it."),
]


@app.command("nlu")
def nlu(
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE.jsonl", help="Labelled utterances.")
    ],
    pack: Annotated[
        str | None, typer.Option("--pack", help="A pack's name, or the path of its folder.")
    ] = None,
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
        with shown() as progress:
            measured = evaluate_nlu(
                data,
                settings.pack_dir,
                encoder_files(settings),
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
    model: Annotated[Path, typer.Argument(metavar="MODEL.gguf", help="The model to measure.")],
    text: Annotated[Path, typer.Option("--text", metavar="FILE", help="Text of the domain.")],
    reference: Annotated[
        Path | None,
        typer.Option("--reference", metavar="REF.gguf", help="The unquantised model."),
    ] = None,
    bar: Bars = None,
    card: CardFile = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=64, max=1_000_000, help="Tokens to measure on.")
    ] = 4096,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Size, memory, speed and perplexity of a GGUF model, and how far it is from its reference.

    Exits with 8 when a bar is missed.

    [bold]Examples[/]

    edge-convert evaluate llm small.gguf --text shop.txt

    edge-convert evaluate llm small.gguf --reference big.gguf --text shop.txt --bar mean_kl=0.05
    """
    with reported(as_json=json):
        bars = parse_bars(bar or [])
        with shown() as progress:
            measured = evaluate_llm(
                model,
                text,
                reference=reference,
                bars=bars,
                max_tokens=max_tokens,
                threads=threads,
                progress=progress,
            )
        facts = {"model": model.name, "threads": str(threads)}
        if reference is not None:
            facts["reference"] = reference.name
        _tell(measured, f"Quality of {model.name}", facts, card, as_json=json)


def _tell(
    measured: QualityCard, title: str, facts: dict[str, str], file: Path | None, *, as_json: bool
) -> None:
    facts = {**facts, "machine": machine_name()}
    if file is not None:
        write_card(measured, file, title=title, facts=facts)
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
        out.print(page(measured, title, facts), markup=False, soft_wrap=True)
    if misses:
        raise typer.Exit(BarsMissedError.exit_code)
