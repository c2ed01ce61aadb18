"""How every command prints: tables for people, JSON for programs, one clear sentence for errors."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from edge_runtime import __version__
from edge_runtime.errors import EdgeRuntimeError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit()


Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
]
"""What a program's callback takes; ``False`` by default."""


def print_json(value: Any) -> None:
    """One JSON value on one line of standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def error_object(error: EdgeRuntimeError) -> dict[str, str]:
    """The JSON form of an error: its type, what was wrong, what to do."""
    return {"type": type(error).__name__, "message": error.message, "hint": error.hint}


@contextmanager
def reported(*, as_json: bool) -> Iterator[None]:
    """Turn a deliberate error into a sentence (or a JSON object) and its exit code.

    Ctrl-C exits with 130, a closed pipe quietly with 141, as shells expect.
    """
    try:
        yield
    except EdgeRuntimeError as error:
        if as_json:
            print_json({"error": error_object(error)})
        else:
            err.print("error:", error.message, style="red", markup=False, soft_wrap=True)
            if error.hint:
                err.print(error.hint, markup=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        err.print("stopped")
        raise typer.Exit(130) from None
    except BrokenPipeError:
        raise typer.Exit(141) from None


def run_program(module: str, *, extra: str) -> None:
    """Run ``main`` of ``module``; where its packages are not installed, say how to get them."""
    try:
        program = importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        err.print(f"error: The package '{package}' is not installed.", markup=False)
        err.print(f"Install it: pip install 'edge-runtime[{extra}]'", markup=False)
        raise SystemExit(2) from None
    program.main()
