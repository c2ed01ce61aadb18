"""``edge-convert distill``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from converters.commands.options import Json, Threads
from converters.progress import shown
from edge_runtime.commands.console import out, print_json, reported


def distill(
    teacher: Annotated[
        Path, typer.Argument(metavar="TEACHER", help="A GGUF file or a Hugging Face folder.")
    ],
    student: Annotated[Path, typer.Argument(metavar="STUDENT", help="The same, smaller.")],
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE.jsonl", help="Conversations to take prompts of.")
    ],
    target: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder.")],
    epochs: Annotated[
        int, typer.Option("--epochs", help="Passes over the teacher's replies; 0 for none.")
    ] = 2,
    on_policy_steps: Annotated[
        int, typer.Option("--on-policy-steps", help="Steps on the student's replies; 0 for none.")
    ] = 100,
    rank: Annotated[int, typer.Option("--rank", help="Of LoRA; 0 trains every weight.")] = 16,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 2e-4,
    batch: Annotated[int, typer.Option("--batch", help="Conversations a step.")] = 4,
    max_length: Annotated[
        int, typer.Option("--max-length", help="Tokens of a conversation.")
    ] = 512,
    max_reply: Annotated[int, typer.Option("--max-reply", help="Tokens of a reply.")] = 96,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Teach a small language model to answer as a large one does, with a table of how near it came.

    First it imitates the teacher's replies to the prompts of the data, then the teacher corrects
    the student's own. The second part needs one vocabulary. A killed run continues when it is
    started again.

    [bold]Examples[/]

    edge-convert distill big.gguf small/ --data replies/train.jsonl --out distilled/

    edge-convert distill big/ other-family/ --data replies/train.jsonl --out distilled/
    --on-policy-steps 0
    """
    with reported(as_json=json):
        from converters.distill.distilling import distill as distil
        from converters.distill.settings import DistillSettings

        settings = DistillSettings(
            epochs=epochs,
            on_policy_steps=on_policy_steps,
            rank=rank,
            learning_rate=learning_rate,
            batch=batch,
            max_length=max_length,
            max_reply=max_reply,
            seed=seed,
        )
        with shown() as progress:
            made = distil(
                teacher, student, data, target, settings, threads=threads, progress=progress
            )
        table = [asdict(row) for row in made.table]
        if json:
            print_json(
                {
                    "path": str(made.path),
                    "student": str(made.student),
                    "replies": made.replies,
                    "table": table,
                }
            )
            return
        out.print(f"{made.student}  from {made.replies} replies", markup=False, soft_wrap=True)
        out.print(f"{'student':<28}{'KL':>9}{'top-1':>9}{'perplexity':>12}", markup=False)
        for row in made.table:
            kl = "–" if row.mean_kl is None else f"{row.mean_kl:.4f}"
            top = "–" if row.top1_agreement is None else f"{row.top1_agreement:.1%}"
            out.print(f"{row.stage:<28}{kl:>9}{top:>9}{row.perplexity:>12.2f}", markup=False)
