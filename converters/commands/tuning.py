"""``edge-convert train``, ``prefer`` and ``merge``: adapters of language models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from converters.commands.options import Json, Threads
from converters.progress import shown
from edge_runtime.commands.console import out, print_json, reported

Base = Annotated[Path, typer.Argument(metavar="BASE", help="A GGUF file or a Hugging Face folder.")]
AdapterFolder = Annotated[
    Path, typer.Argument(metavar="ADAPTER", help="What 'edge-convert train' wrote.")
]
Target = Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder.")]
Epochs = Annotated[int, typer.Option("--epochs", help="Passes over the data.")]
Steps = Annotated[int, typer.Option("--steps", help="Stops earlier when it is not 0.")]
MaxLength = Annotated[int, typer.Option("--max-length", help="Tokens of a conversation.")]
Seed = Annotated[int, typer.Option("--seed")]


def train(
    base: Base,
    data: Annotated[Path, typer.Option("--data", metavar="FILE.jsonl", help="Conversations.")],
    target: Target,
    rank: Annotated[int, typer.Option("--rank", help="Of the matrices that are added.")] = 16,
    alpha: Annotated[int, typer.Option("--alpha", help="Over the rank, their weight.")] = 32,
    dropout: Annotated[float, typer.Option("--dropout", help="Before them.")] = 0.1,
    module: Annotated[
        list[str] | None,
        typer.Option("--module", help="Layers that get them; q_proj and v_proj if none."),
    ] = None,
    epochs: Epochs = 1,
    steps: Steps = 0,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 2e-4,
    batch: Annotated[int, typer.Option("--batch", help="Conversations at once.")] = 4,
    accumulate: Annotated[int, typer.Option("--accumulate", help="Batches a step.")] = 1,
    max_length: MaxLength = 512,
    seed: Seed = 0,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Tune a language model on the replies in conversations, as a LoRA adapter.

    A line of the data is [bold]{"messages": [{"role": "user", "content": "…"}, {"role":
    "assistant", "content": "…"}]}[/]; the last reply is learnt. A killed run continues when it is
    started again. The folder also holds the loss curve, [bold]losses.png[/].

    [bold]Examples[/]

    edge-convert train base.gguf --data replies/train.jsonl --out adapter/

    edge-convert train base/ --data replies/train.jsonl --out adapter/ --rank 8 --steps 500
    """
    with reported(as_json=json):
        from converters.lora.settings import LoraSettings
        from converters.lora.training import train_lora

        settings = LoraSettings(
            rank=rank,
            alpha=alpha,
            dropout=dropout,
            modules=tuple(module or ("q_proj", "v_proj")),
            epochs=epochs,
            steps=steps,
            learning_rate=learning_rate,
            batch=batch,
            accumulate=accumulate,
            max_length=max_length,
            seed=seed,
        )
        with shown() as progress:
            made = train_lora(base, data, target, settings, threads=threads, progress=progress)
        _tell(made, "nats a token of held-out replies", as_json=json)


def prefer(
    base: Base,
    adapter: AdapterFolder,
    data: Annotated[Path, typer.Option("--data", metavar="FILE.jsonl", help="Rated replies.")],
    target: Target,
    beta: Annotated[
        float, typer.Option("--beta", help="How dearly leaving the tuned model is paid for.")
    ] = 0.1,
    imitation: Annotated[
        float, typer.Option("--imitation", help="Weight of imitating preferred replies.")
    ] = 1.0,
    epochs: Epochs = 1,
    steps: Steps = 0,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 5e-6,
    batch: Annotated[int, typer.Option("--batch", help="Pairs a step.")] = 2,
    max_length: MaxLength = 512,
    seed: Seed = 0,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Go on with an adapter from rated replies: those that people preferred become likelier.

    A line is a pair, [bold]{"messages": […], "chosen": "…", "rejected": "…"}[/], or one rated
    reply, [bold]{"messages": […], "reply": "…", "rating": 4}[/]; of those the best to each prompt
    is held against the worse ones.

    [bold]Examples[/]

    edge-convert prefer base.gguf adapter/ --data ratings.jsonl --out preferred/
    """
    with reported(as_json=json):
        from converters.lora.settings import PreferenceSettings
        from converters.lora.training import train_preferences

        settings = PreferenceSettings(
            epochs=epochs,
            steps=steps,
            beta=beta,
            imitation=imitation,
            learning_rate=learning_rate,
            batch=batch,
            max_length=max_length,
            seed=seed,
        )
        with shown() as progress:
            made = train_preferences(
                base, adapter, data, target, settings, threads=threads, progress=progress
            )
        _tell(made, "nats by which preferred replies are likelier", as_json=json)


def merge(
    base: Base,
    adapter: AdapterFolder,
    target: Target,
    adapter_gguf: Annotated[
        Path | None,
        typer.Option("--adapter-gguf", metavar="FILE", help="The adapter alone, for llama.cpp."),
    ] = None,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Merge an adapter into its base; counts only when the logits stay what they were.

    Shard by shard, so that memory holds the largest shard and no model. Weights keep their type;
    where that is 16 bits, logits are held against those of PEFT's merge rounded the same way.

    [bold]Examples[/]

    edge-convert merge base.gguf adapter/ --out merged/

    edge-convert merge base/ adapter/ --out merged/ --adapter-gguf adapter.gguf
    """
    with reported(as_json=json):
        from converters.lora.merge import merge_adapter

        with shown() as progress:
            made = merge_adapter(
                base,
                adapter,
                target,
                adapter_gguf=adapter_gguf,
                threads=threads,
                progress=progress,
            )
        facts: dict[str, Any] = {**asdict(made), "path": str(made.path)}
        if adapter_gguf is not None:
            facts |= {"adapter_gguf": str(adapter_gguf), "size": adapter_gguf.stat().st_size}
        if json:
            print_json(facts)
            return
        out.print(
            f"{made.path}  {made.changed} of {made.tensors} weights grew ({made.stored}); logits "
            f"differ by at most {made.max_difference:.2g} from base and adapter",
            markup=False,
            soft_wrap=True,
        )


def _tell(made: Any, measured: str, *, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(made), "path": str(made.path)})
        return
    short = f" ({made.too_long} too long)" if made.too_long else ""
    out.print(
        f"{made.path}  {made.steps} steps on {made.lines} lines{short} in {made.seconds:.0f} s; "
        f"{measured}: {made.before:.3f} → {made.after:.3f}",
        markup=False,
        soft_wrap=True,
    )
