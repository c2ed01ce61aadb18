"""``edge-convert quantize``, ``importance`` and ``bundle``: what makes files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from converters import bundle as bundles
from converters import imatrix as watching
from converters import quantize as quantising
from converters.commands.options import Json, Threads
from converters.dataset import suggestion
from converters.errors import OptionError
from converters.progress import shown
from edge_runtime.commands.console import out, print_json, reported


def quantize(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A GGUF file or a Hugging Face folder.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT.gguf", help="What to write.")],
    kind: Annotated[
        str, typer.Option("--type", metavar="F32|F16|Q8_0|Q4_K_M|Q4_0", help="Format.")
    ],
    importance: Annotated[
        Path | None,
        typer.Option("--importance", metavar="FILE", help="What 'edge-convert importance' wrote."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="TENSOR=TYPE", help="Keep tensors higher; repeatable."),
    ] = None,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Turn a model into GGUF and quantise it; the output is complete or absent.

    A folder is converted by llama.cpp's own converter, fetched once and kept apart. The first
    [bold]--keep[/] that fits a tensor counts; [bold]*[/] stands for anything.

    [bold]Examples[/]

    edge-convert quantize merged/ shop.f16.gguf --type F16

    edge-convert quantize shop.f16.gguf shop.q4.gguf --type Q4_K_M --importance shop.importance

    edge-convert quantize shop.f16.gguf shop.q4.gguf --type Q4_0 --keep output.weight=Q8_0
    --keep "blk.*.attn_v.weight=Q6_K"
    """
    with reported(as_json=json):
        known = get_args(quantising.QuantType)
        if kind.upper() not in known:
            raise OptionError(f"There is no type '{kind}'.", hint=suggestion(kind.upper(), known))
        with shown() as progress:
            made = quantising.quantize(
                model,
                target,
                cast(quantising.QuantType, kind.upper()),
                importance=importance,
                keep=quantising.parse_keep(keep or []),
                threads=threads,
                progress=progress,
            )
        if json:
            print_json(
                {
                    "path": str(made.path),
                    "type": made.type,
                    "source_size": made.source_size,
                    "size": made.size,
                    "sha256": made.sha256,
                    "bits_per_weight": made.bits_per_weight,
                    "tensor_types": dict(made.tensor_types),
                    "kept": dict(made.kept),
                    "importance": made.importance,
                    "notes": list(made.notes),
                }
            )
            return
        types = ", ".join(f"{count} {name}" for name, count in made.tensor_types.items())
        out.print(
            f"{made.path}  {made.size / 1e6:.1f} MB (was {made.source_size / 1e6:.1f} MB), "
            f"{made.bits_per_weight:.2f} bits a weight: {types} tensors",
            *made.notes,
            sep="\n",
            markup=False,
            soft_wrap=True,
        )


def importance(
    model: Annotated[Path, typer.Argument(metavar="MODEL.gguf", help="At 16 or 32 bits.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="What to write.")],
    text: Annotated[
        Path, typer.Option("--text", metavar="FILE", help="Text of the domain, not the test's.")
    ],
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=64, max=1_000_000, help="Tokens to read.")
    ] = 16_384,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Watch a model read text of the domain: which weights matter for it when quantising.

    [bold]Examples[/]

    edge-convert importance shop.f16.gguf shop.importance --text train.txt
    """
    with reported(as_json=json):
        with shown() as progress:
            made = watching.collect_importance(
                model, text, target, max_tokens=max_tokens, threads=threads, progress=progress
            )
        if json:
            print_json({**asdict(made), "path": str(made.path)})
            return
        out.print(
            f"{made.path}  {made.tensors} tensors, from {made.tokens} tokens",
            markup=False,
            soft_wrap=True,
        )


def bundle(
    name: Annotated[str, typer.Option("--name", help="Name of the bundle.")],
    version: Annotated[str, typer.Option("--version", help="Its version, such as 1.2.0.")],
    card: Annotated[
        list[Path], typer.Option("--card", metavar="CARD.json", help="Quality card; repeatable.")
    ],
    target: Annotated[Path, typer.Option("--out", metavar="DIR", help="The store to put it in.")],
    component: Annotated[
        list[Path] | None, typer.Option("--component", help="A model file; repeatable.")
    ] = None,
    pack: Annotated[
        Path | None, typer.Option("--pack", metavar="DIR", help="The domain pack's folder.")
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="lite|standard|full", help="Repeatable; all if none."),
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", help="Of components that do not state their own.")
    ] = bundles.NOT_STATED,
    json: Json = False,
) -> None:
    """Put components, pack and cards into one bundle; refused when a card misses its bars.

    The same input always gives the same hash.

    [bold]Examples[/]

    edge-convert bundle --name shop --version 1.0.0 --profile standard --component shop.q4.gguf
    --card shop.q4.card.json --out store/
    """
    with reported(as_json=json):
        spec = bundles.BundleSpec(
            name,
            version,
            cards=tuple(card),
            components=tuple(component or ()),
            pack=pack,
            profiles=tuple(profile or ()),
            licence=licence,
        )
        with shown() as progress:
            made = bundles.build_bundle(spec, target, progress=progress)
        if json:
            print_json(
                {
                    "path": str(made.path),
                    "digest": made.digest,
                    "size": made.manifest.size,
                    "components": [item.name for item in made.manifest.components],
                }
            )
            return
        count = len(made.manifest.components)
        size = made.manifest.size / 1e6
        out.print(
            f"{made.path}  {count} components, {size:.1f} MB\nsha256 {made.digest}",
            markup=False,
            soft_wrap=True,
        )
