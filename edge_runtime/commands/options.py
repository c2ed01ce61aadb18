"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Profile = Annotated[
    str | None,
    typer.Option("--profile", "-p", help="lite, standard or full: which engines are used."),
]
Pack = Annotated[
    str | None, typer.Option("--pack", help="A domain pack's name, or the path of its folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
Language = Annotated[
    str | None,
    typer.Option("--lang", "-l", help="Two-letter language code; detected when not given."),
]
Session = Annotated[str, typer.Option("--session", "-s", help="Continue this conversation.")]
User = Annotated[
    str, typer.Option("--user", "-u", help="Id or phone of a customer known to the shop.")
]
Files = Annotated[list[Path], typer.Argument(help="Files, answered in this order.")]
