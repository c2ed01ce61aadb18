"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from converters.encoder.student import ENCODER, SOURCE, shipped_base
from edge_runtime.bundles import ModelStore, bundle_files
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


def whole_encoder(settings: Settings) -> Path:
    """The file that students are made from, its every byte just checked.

    Raises:
        ModelMissingError, ModelCorruptError: it is not here, or not the catalogued one.
    """
    return ModelStore(settings.models_dir).files(ENCODER)[SOURCE]


def student_base(folder: Path | None) -> Mapping[str, Path]:
    """The files of the student base in ``folder``, else of the one that came with the package.

    Raises:
        ModelMissingError, ModelCorruptError: it is not here, or damaged.
    """
    return bundle_files(folder or shipped_base())
