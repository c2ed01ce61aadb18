"""Every command explains itself with an example, and every command in the documentation exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from converters.cli import app

DOCS = Path(__file__).parents[2] / "docs"
ROOT = typer.main.get_command(app)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inside = getattr(command, "commands", None)
    if inside is None:
        yield path
        return
    for name, inner in inside.items():
        yield from leaves(inner, (*path, name))


COMMANDS = tuple(leaves(ROOT))


def documented() -> list[tuple[str, list[str]]]:
    """Where each ``edge-convert`` line of the documentation stands, and its words."""
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text("utf-8").replace("\\\n", " ")
        for match in re.finditer(r"^ {4}edge-convert (.+)$", text, re.MULTILINE):
            found.append((page.name, shlex.split(match[1])))
    return found


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert f"edge-convert {' '.join(path)} " in " ".join(result.stdout.split())
    assert "--json" in result.stdout


def test_what_the_documentation_says_to_type_can_be_typed() -> None:
    pages = documented()
    for page, words in pages:
        command: Any = ROOT
        while hasattr(command, "commands"):
            assert words[0] in command.commands, (page, words)
            command = command.commands[words.pop(0)]
        # Raises where an option does not exist or one that is needed is missing.
        command.make_context("edge-convert", list(words))
    assert len(pages) > 20


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_stands_in_the_documentation(path: tuple[str, ...]) -> None:
    assert any(tuple(words[: len(path)]) == path for _, words in documented())
