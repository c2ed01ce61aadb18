"""The ``edge-runtime`` command."""

from __future__ import annotations

import io
import sys

import typer

from edge_runtime.commands import ask, doctor, knowledge, media, models, serve, understand
from edge_runtime.commands.console import Version

app = typer.Typer(
    name="edge-runtime",
    help="The offline customer-service assistant for POS terminals, smart speakers and kiosks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command()(serve.serve)
app.command()(ask.ask)
app.command()(ask.chat)
app.command()(media.listen)
app.command()(media.transcribe)
app.command()(media.ocr)
app.command()(media.speak)
app.command()(understand.understand)
app.command()(doctor.doctor)
app.command()(doctor.bench)
app.add_typer(knowledge.app, name="knowledge")
app.add_typer(models.app, name="models")


@app.callback()
def root(version: Version = False) -> None:
    """Entry point of every subcommand."""


def main() -> None:
    # Whatever the locale says: JSON is UTF-8, and a stray byte is no reason to fail.
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    app()
