"""``edge-convert train-redaction``: the device's reader of names and addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from converters.commands.options import Json
from converters.dataset import read_rows
from converters.errors import OptionError
from converters.outputs import whole_file
from converters.redaction import SENTENCES
from edge_runtime.commands.console import out, print_json, reported


def train_redaction(
    target: Annotated[Path, typer.Option("--out", metavar="FILE.npz", help="A new file.")],
    ordinary: Annotated[
        list[Path],
        typer.Option("--ordinary", metavar="FILE.jsonl", help="Utterances naming nobody."),
    ],
    sentences: Annotated[
        int, typer.Option("--sentences", min=100, max=5_000_000, help="To learn from.")
    ] = SENTENCES,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 1,
    json: Json = False,
) -> None:
    """Train what masks names and addresses that no word introduces.

    Learns from sentences made out of lists of names, streets and towns, and from ordinary
    utterances ([bold]text[/] in each line). Lines with a given name in them are left out. The same
    input gives the same file.

    [bold]Examples[/]

    edge-convert train-redaction --ordinary ordinary.jsonl --out tagger.npz
    """
    from converters.redaction.ordinary import without_names
    from converters.redaction.train import TABLE_BYTES, train

    with reported(as_json=json):
        texts = without_names(row.text for file in ordinary for row in read_rows(file))
        if not texts:
            raise OptionError(
                "No ordinary utterance is left to learn from.",
                hint="Give some in which nobody is named: --ordinary FILE.jsonl",
            )
        made = train(texts, sentences=sentences, seed=seed)
        with whole_file(target, TABLE_BYTES) as file:
            made.save(file)
        if json:
            print_json(
                {"path": str(target), "ordinary": len(texts), "wrong_tokens": made.wrong_tokens}
            )
            return
        out.print(
            f"{target}  {len(texts)} ordinary utterances, {made.wrong_tokens:.2%} of the last"
            " tokens wrong",
            markup=False,
            soft_wrap=True,
        )
