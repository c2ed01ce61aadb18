"""The program ``edge-convert``."""

from __future__ import annotations

from edge_runtime.commands.console import run_program


def main() -> None:
    run_program("converters.cli", extra="convert")
