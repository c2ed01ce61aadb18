"""``edge-convert quantize-onnx``: decoders and encoders as ONNX folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from converters.commands.options import Json, Threads
from converters.dataset import suggestion
from converters.errors import OptionError
from converters.onnx import quantize as quantising
from converters.progress import shown
from edge_runtime.commands.console import out, print_json, reported


def quantize_onnx(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A Hugging Face folder, or an ONNX one in fp32.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    kind: Annotated[
        str, typer.Option("--type", metavar="|".join(quantising.ONNX_TYPES), help="Format.")
    ],
    text: Annotated[
        Path | None,
        typer.Option(
            "--text", metavar="FILE", help="Domain text: for onnx-int8-static and onnx-int4."
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="PART",
            help="onnx-int4: products kept at 8 bits; those of keys and values if none.",
        ),
    ] = None,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Export a decoder or an encoder to ONNX and quantise it; the folder is complete or absent.

    Embeddings and the head become 8-bit blocks, one table where they are tied. [bold]onnx-int8[/]
    quantises activations as they come, [bold]onnx-int8-static[/] by ranges measured on the text;
    [bold]onnx-int8-block[/] and [bold]onnx-int4[/] store products in blocks of 32, the latter with
    scales weighted by the text. A product is kept when its name holds a [bold]--keep[/].

    [bold]Examples[/]

    edge-convert quantize-onnx merged/ shop-fp32 --type onnx-fp32

    edge-convert quantize-onnx shop-fp32 shop-int8 --type onnx-int8-static --text shop.txt

    edge-convert quantize-onnx shop-fp32 shop-int4 --type onnx-int4 --text shop.txt --keep v_proj
    """
    with reported(as_json=json):
        if kind.lower() not in quantising.ONNX_TYPES:
            hint = suggestion(kind.lower(), quantising.ONNX_TYPES)
            raise OptionError(f"There is no type '{kind}'.", hint=hint)
        with shown() as progress:
            made = quantising.quantize_onnx(
                model,
                target,
                cast(quantising.OnnxType, kind.lower()),
                text=text,
                keep=keep,
                threads=threads,
                progress=progress,
            )
        if json:
            print_json(
                {
                    "path": str(made.folder.path),
                    "kind": made.folder.kind,
                    "type": made.type,
                    "source_size": made.source_size,
                    "size": made.folder.size,
                    "bits_per_weight": made.bits_per_weight,
                    "products": dict(made.products),
                    "max_difference": made.max_difference,
                }
            )
            return
        products = ", ".join(f"{count} {name}" for name, count in made.products.items())
        out.print(
            f"{made.folder.path}  {made.folder.size / 1e6:.1f} MB (was "
            f"{made.source_size / 1e6:.1f} MB), {made.bits_per_weight:.2f} bits a weight: "
            f"{products}",
            markup=False,
            soft_wrap=True,
        )
