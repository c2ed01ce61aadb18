"""The pages say what the programs do: every command, option, setting and link in them exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from converters.cli import app as edge_convert
from edge_runtime.cli import app as edge_runtime
from edge_runtime.config import Settings, UpdateSettings
from sync.central.cli import app as edge_central
from sync.central.settings import CentralSettings
from sync.cli import app as edge_sync
from sync.pacing import SyncSettings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "models/README.md"])
PROGRAMS = {
    "edge-runtime": typer.main.get_command(edge_runtime),
    "edge-convert": typer.main.get_command(edge_convert),
    "edge-sync": typer.main.get_command(edge_sync),
    "edge-central": typer.main.get_command(edge_central),
}
CALL = re.compile(rf"\b({'|'.join(PROGRAMS)})((?:[ \t]+[^\s`'\"|;)]+)*)")
ids = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def calls(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Programs and what follows them on a line, or on lines that a backslash joins."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    for found in CALL.finditer(text):
        yield found[1], found[2].split()


def below(command: Any) -> dict[str, Any]:
    """The commands of a group by name; none for a command."""
    return getattr(command, "commands", {})


def resolved(program: str, words: list[str]) -> tuple[Any, list[str]]:
    command: Any = PROGRAMS[program]
    while words and words[0] in below(command):
        command, words = below(command)[words[0]], words[1:]
    return command, words


def every_command(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, one in below(command).items():
        yield from every_command(one, f"{path} {name}")
    if not below(command) and not command.hidden:
        yield path, command


COMMANDS = dict(pair for name, program in PROGRAMS.items() for pair in every_command(program, name))


@ids
def test_the_commands_and_options_of_a_page_exist(page: Path) -> None:
    for program, given in calls(page):
        command, words = resolved(program, given)
        said = f"{program} {' '.join(given)}"
        if below(command):
            # A list of commands, parted by commas.
            listed = words if words and words[0].endswith(",") else []
            assert {word.strip(",") for word in listed} <= {*below(command), "…"}, said
            continue
        known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
        used = {found[0] for word in words if (found := re.match(r"--[a-z][a-z-]*", word))}
        assert used <= known | {"--help"}, said


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_is_on_a_page_and_shows_an_example(path: str) -> None:
    *program, name = path.split()
    named = re.compile(rf"{' '.join(program)} .*\b{name}\b")
    assert any(named.search(page.read_text("utf-8")) for page in PAGES)
    command = COMMANDS[path]
    assert "xample" in f"{command.help}{command.epilog}"


@pytest.mark.parametrize("kind", [Settings, UpdateSettings, SyncSettings, CentralSettings])
def test_every_setting_is_on_a_page(kind: type[Settings]) -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    prefix = kind.model_config["env_prefix"]
    table = getattr(kind, "table", "")
    for name in kind.model_fields:
        in_a_table = table and (f"`{name}`" in text or f"[{table}.{name}]" in text)
        assert in_a_table or f"{prefix}{name.upper()}`" in text, name


@ids
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        to = page.parent / target if target else page
        assert to.exists(), target
        if anchor and to.suffix == ".md":
            heads = re.findall(r"^#+ (.+)$", to.read_text("utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in heads}
