"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from edge_runtime.bundles import ModelStore, bundle_files
from edge_runtime.config import Settings
from edge_runtime.nlu.e5 import MODEL_FILE
from edge_runtime.packs import load_pack
from edge_runtime.wiring import Engines

Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
Threads = Annotated[int, typer.Option("--threads", min=1, max=64, help="Processor threads.")]
Bars = Annotated[
    list[str] | None,
    typer.Option("--bar", metavar="NAME=LIMIT", help="A limit the card must clear; repeatable."),
]
Outside = Annotated[
    str, typer.Option("--outside", help="The intent that means out of scope in the data.")
]


ENCODER: Final = "multilingual-e5-small-q4"
"""What student encoders are made from, by its id in the catalogue."""


def whole_encoder(settings: Settings) -> Path:
    """The file of :data:`ENCODER`, its every byte just checked.

    Raises:
        ModelMissingError, ModelCorruptError: it is not here, or not the catalogued one.
    """
    return ModelStore(settings.models_dir).files(ENCODER)[MODEL_FILE]


def student_base(settings: Settings, folder: Path | None) -> Mapping[str, Path]:
    """The files of the student base in ``folder``, else of the one that this device has.

    Raises:
        ModelMissingError, ModelCorruptError: it is not here, or damaged.
    """
    if folder is not None:
        return bundle_files(folder)
    return Engines(settings, load_pack(settings.pack_dir)).encoder_files
