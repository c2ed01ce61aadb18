"""``edge-convert evaluate roundtrip``: whether a converted model says what its original said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from converters.commands.options import Json, Threads
from converters.errors import BarsMissedError
from converters.evaluate import roundtrip as compared
from converters.evaluate.roundtrip import PROMPTS
from converters.progress import shown
from edge_runtime.commands.console import out, print_json, reported


def roundtrip(
    folder: Annotated[Path, typer.Argument(metavar="HF_FOLDER", help="The original.")],
    model: Annotated[Path, typer.Argument(metavar="MODEL.gguf", help="What was made from it.")],
    prompts: Annotated[
        Path, typer.Option("--prompts", metavar="FILE.jsonl", help="Conversations to begin.")
    ],
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many.")] = PROMPTS,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, max=1024, help="Of each reply.")
    ] = 64,
    exact: Annotated[
        bool, typer.Option("--exact", help="Keep llama.cpp's key-value cache in 32 bits.")
    ] = False,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Whether a model says the same as GGUF in the runtime as it did in PyTorch.

    Exits with 8 when a reply differs.

    [bold]Examples[/]

    edge-convert evaluate roundtrip merged/ merged.f16.gguf --prompts valid.jsonl
    """
    with reported(as_json=json):
        with shown() as progress:
            found = compared.roundtrip(
                folder,
                model,
                prompts,
                count=count,
                max_tokens=max_tokens,
                exact=exact,
                threads=threads,
                progress=progress,
            )
        if json:
            print_json(found.as_json())
        else:
            out.print(f"{found.equal} of {found.prompts} replies are equal.", markup=False)
            for one in found.differences:
                told = f"line {one.line}:\n  {one.original}\n  {one.converted}"
                out.print(told, markup=False, soft_wrap=True)
    if found.differences:
        raise typer.Exit(BarsMissedError.exit_code)
