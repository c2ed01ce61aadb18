"""``edge-convert student`` and ``train-nlu``: the student encoder, and heads for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from converters import train_nlu as training
from converters.commands.options import (
    Bars,
    Json,
    Outside,
    Threads,
    student_base,
    whole_encoder,
)
from converters.dataset import read_rows
from converters.encoder.settings import DEFAULTS, TaskSettings
from converters.encoder.student import make_student
from converters.encoder.vocabulary import DEFAULT_FINE, DEFAULT_PIECES
from converters.errors import BarsMissedError
from converters.evaluate.cards import parse_bars
from converters.progress import shown
from converters.splits import read_splits
from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.config import load_settings
from edge_runtime.turn import OUT_OF_SCOPE


def student(
    target: Annotated[Path, typer.Option("--out", metavar="BUNDLE", help="A new folder.")],
    text: Annotated[
        list[Path],
        typer.Option("--text", metavar="FILE.jsonl", help="What customers say; repeatable."),
    ],
    pieces: Annotated[
        int, typer.Option("--pieces", min=1000, max=250_000, help="Of the vocabulary to keep.")
    ] = DEFAULT_PIECES,
    fine: Annotated[
        int,
        typer.Option(
            "--fine-pieces",
            min=1000,
            max=250_000,
            help="Of these, the most used, to keep in 4 bits; the others get 2.",
        ),
    ] = DEFAULT_FINE,
    json: Json = False,
) -> None:
    """Make the device's encoder out of the whole one: a smaller vocabulary, products in 8 bits.

    Kept are single characters, whatever the texts use, and the commonest pieces of each script.
    Where lines name their language ("lang"), what tells languages apart is taken out of vectors.
    Heads are trained for one such encoder and work with no other.

    [bold]Examples[/]

    edge-convert student --out student --text lines/train.jsonl
    """
    with reported(as_json=json):
        rows = [row for file in text for row in read_rows(file)]
        with shown() as progress:
            source = whole_encoder(load_settings())
            made = make_student(source, rows, target, pieces=pieces, fine=fine, progress=progress)
        if json:
            print_json(
                {
                    "path": str(made.path),
                    "digest": made.digest,
                    "pieces": made.pieces,
                    "size": made.size,
                }
            )
            return
        out.print(
            f"{made.path}  {made.pieces} pieces, {made.size / 1e6:.1f} MB\nsha256 {made.digest}",
            markup=False,
            soft_wrap=True,
        )


def train_nlu(
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder with train.jsonl, …")],
    target: Annotated[Path, typer.Option("--out", metavar="BUNDLE", help="A new folder.")],
    base: Annotated[
        Path | None,
        typer.Option(
            "--base", metavar="BUNDLE", help="A student encoder; by default the shipped one."
        ),
    ] = None,
    pack: Annotated[
        str | None, typer.Option("--pack", help="The pack whose intents these are, if they are.")
    ] = None,
    bar: Bars = None,
    outside: Outside = OUT_OF_SCOPE,
    rejection_cost: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="In-scope accuracy that turning doubtful requests away may cost."
        ),
    ] = DEFAULTS.rejection_cost,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, help="Passes in each round.")
    ] = DEFAULTS.epochs,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, max=10, help="Later ones learn from those before.")
    ] = DEFAULTS.rounds,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Train the heads of the student encoder on labelled lines, with a quality card.

    The folder holds [bold]train.jsonl[/]; [bold]valid.jsonl[/] sets the threshold and the
    calibration, [bold]test.jsonl[/] is measured once. Each line has a [bold]text[/], an
    [bold]intent[/] and perhaps a [bold]sentiment[/] and [bold]entities[/]. A killed run continues
    when it is started again. Exits with 8 when a bar is missed.

    [bold]Examples[/]

    edge-convert train-nlu --data shop/ --out shop-nlu

    edge-convert train-nlu --data clinc/ --out clinc-nlu --outside oos --bar in_scope_accuracy=0.94
    """
    with reported(as_json=json):
        bars = parse_bars(bar or [])
        settings = load_settings(pack=pack)
        how = TaskSettings(epochs=epochs, rounds=rounds, rejection_cost=rejection_cost, seed=seed)
        read_splits(data, outside=outside)
        with shown() as progress:
            progress("opening the encoder", 0.0)
            device = training.Device(student_base(base), whole_encoder(settings), settings)
            made = training.train_nlu(
                data,
                target,
                device,
                bars=bars,
                outside=outside,
                how=how,
                threads=threads,
                progress=progress,
            )
        misses = [str(miss) for miss in made.card.misses()]
        if json:
            print_json(
                {
                    "path": str(made.path),
                    "digest": made.digest,
                    "threshold": made.threshold,
                    "dataset": made.card.dataset,
                    "metrics": dict(made.card.metrics),
                    "misses": misses,
                }
            )
        else:
            page = (made.path / "card.md").read_text(encoding="utf-8")
            out.print(page, markup=False, soft_wrap=True)
        if misses:
            raise typer.Exit(BarsMissedError.exit_code)
