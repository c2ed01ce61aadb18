"""The ``edge-convert`` command."""

from __future__ import annotations

import signal

import typer

from converters.commands import (
    building,
    distilling,
    measuring,
    onnx,
    redacting,
    roundtripping,
    running,
    synthesizing,
    tuning,
    understanding,
)
from edge_runtime.commands.console import Version

app = typer.Typer(
    name="edge-convert",
    help="From a tuned model to what a device runs: quantise, evaluate, train, bundle.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command("synth")(synthesizing.synth)
app.command("quantize")(building.quantize)
app.command("quantize-onnx")(onnx.quantize_onnx)
app.command("importance")(building.importance)
measuring.app.command("roundtrip")(roundtripping.roundtrip)
app.add_typer(measuring.app, name="evaluate")
app.command("train")(tuning.train)
app.command("prefer")(tuning.prefer)
app.command("merge")(tuning.merge)
app.command("distill")(distilling.distill)
app.command("student")(understanding.student)
app.command("train-nlu")(understanding.train_nlu)
app.command("train-redaction")(redacting.train_redaction)
app.command("bundle")(building.bundle)
app.command("run")(running.run)


@app.callback()
def root(version: Version = False) -> None:
    """Entry point of every subcommand."""


def main() -> None:
    # A service manager's stop cleans up like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
