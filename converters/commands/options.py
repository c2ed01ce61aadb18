"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.bundles import ModelStore
from edge_runtime.config import Settings

Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
Threads = Annotated[int, typer.Option("--threads", min=1, max=64, help="Processor threads.")]
Bars = Annotated[
    list[str] | None,
    typer.Option("--bar", metavar="NAME=LIMIT", help="A limit the card must clear; repeatable."),
]
Outside = Annotated[
    str, typer.Option("--outside", help="The intent that means out of scope in the data.")
]


def encoder_files(settings: Settings) -> Mapping[str, Path]:
    """The profile's encoder, every byte just checked.

    Raises:
        ModelMissingError, ModelCorruptError: it is not here, or not the catalogued one.
    """
    return ModelStore(settings.models_dir).files(settings.engines.encoder)
