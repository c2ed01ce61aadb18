"""``edge-convert synth``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from converters.commands.options import Json, Threads
from converters.progress import shown
from converters.recipe.sources import resolve_pack
from converters.synth.settings import DEFAULT_LINES
from edge_runtime.commands.console import out, print_json, reported


def synth(
    target: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder.")],
    pack: Annotated[
        str, typer.Option("--pack", metavar="PACK", help="A shipped pack's name, or a folder.")
    ] = "retail",
    lines: Annotated[
        int, typer.Option("--lines", help="About how many labelled lines.")
    ] = DEFAULT_LINES,
    languages: Annotated[
        str, typer.Option("--languages", metavar="A,B,…", help="Which; all that are known if none.")
    ] = "",
    paraphrases: Annotated[
        int, typer.Option("--paraphrases", help="Sentences that a language model rewords.")
    ] = 0,
    paraphraser: Annotated[
        Path | None, typer.Option("--paraphraser", metavar="FILE.gguf", help="That model.")
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            "--exclude", metavar="FILE", help="Texts that must not occur, or nearly; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Write labelled text and conversations for a shop that has none yet, out of its domain pack.

    The labelled lines are phrases in up to ten languages, reworded as people type and recognisers
    hear; the conversations are answered from the pack's own passages. Each line says where it came
    from. A killed run keeps what the language model had reworded when it is started again.

    [bold]Examples[/]

    edge-convert synth --out lines/

    edge-convert synth --pack my-shop/ --out lines/ --lines 4000 --languages en,es

    edge-convert synth --out lines/ --exclude test.jsonl --paraphrases 2000
    --paraphraser chat.gguf --json
    """
    with reported(as_json=json):
        from converters.synth import SynthSettings, synthesize

        codes = tuple(code.strip() for code in languages.split(",") if code.strip())
        with shown() as progress:
            made = synthesize(
                resolve_pack(pack, Path()),
                target,
                SynthSettings(lines, codes, paraphrases, seed),
                paraphraser=paraphraser,
                exclude=exclude or (),
                threads=threads,
                progress=progress,
            )
        if json:
            print_json({"path": str(made.path), **made.report})
            return
        out.print(
            f"{made.path}  {made.lines:,} labelled lines, {made.conversations:,} conversations",
            markup=False,
            soft_wrap=True,
        )
        for what in ("lines", "conversations"):
            _counts(what, made.report[what])


def _counts(what: str, counts: dict[str, Any]) -> None:
    for by in ("by_language", "by_source", "dropped"):
        told = ", ".join(f"{name} {count:,}" for name, count in counts[by].items())
        out.print(f"{what} {by.replace('_', ' ')}: {told or 'none'}", markup=False, soft_wrap=True)
