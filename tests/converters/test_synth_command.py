"""``edge-convert synth`` and its function: the same bytes twice, whole or absent, refusals in one
sentence, and as a stage of a recipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from synth_kit import RETAIL, content, rows
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import DatasetError, OptionError
from converters.outputs import resumable_folder
from converters.recipe import load_recipe
from converters.recipe.run import run
from converters.recipe.stages import stages
from converters.recipe.workspace import Workspace
from converters.synth import SynthSettings, synthesize
from edge_runtime.bundles import ModelStore

# Portuguese has lines only, and no conversations to spend time on.
SMALL = SynthSettings(lines=400, languages=("pt",))


def test_one_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    made = synthesize(RETAIL, tmp_path / "a", SMALL)
    synthesize(RETAIL, tmp_path / "b", SMALL)
    synthesize(RETAIL, tmp_path / "c", SynthSettings(lines=400, languages=("pt",), seed=1))
    first = content(tmp_path / "a")
    assert first == content(tmp_path / "b")
    assert first["train.jsonl"] != content(tmp_path / "c")["train.jsonl"]
    assert set(first) == {"train.jsonl", "valid.jsonl", "report.json"}
    assert made.lines == len(rows(made.path / "train.jsonl")) + len(rows(made.path / "valid.jsonl"))
    assert made.conversations == 0


def test_the_command_prints_json(tmp_path: Path) -> None:
    forbidden = tmp_path / "test.txt"
    forbidden.write_text("onde está o meu pedido?\n")
    options = ["--lines", "400", "--languages", "pt", "--exclude", str(forbidden), "--json"]
    result = CliRunner().invoke(app, ["synth", "--out", str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["path"] == str(tmp_path / "out")
    assert told["excluded_texts"] == 1
    assert told["lines"]["by_language"] == {"pt": told["lines"]["train"] + told["lines"]["valid"]}
    said = [line["text"].casefold().rstrip("?") for line in rows(tmp_path / "out" / "train.jsonl")]
    assert "onde está o meu pedido" not in said


def test_the_command_shows_a_summary(tmp_path: Path) -> None:
    options = ["--pack", str(RETAIL), "--lines", "200", "--languages", "pt"]
    result = CliRunner().invoke(app, ["synth", "--out", str(tmp_path / "out"), *options])
    assert "labelled lines" in result.stdout
    assert "lines by source: " in result.stdout
    assert "conversations dropped: none" in result.stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--lines", "0"], "'lines' is 0"),
        (["--languages", "pt,xx"], "how people talk in 'xx'"),
        (["--paraphrases", "5"], "need a language model"),
        (["--paraphrases", "-1"], "'paraphrases' is -1"),
        (["--pack", "no-such-pack"], "no-such-pack"),
        (["--exclude", "no-such-file"], "cannot be read"),
        (["--paraphrases", "5", "--paraphraser", __file__], "not a GGUF"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(
    options: list[str], reason: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["synth", "--out", str(tmp_path / "out"), *options, "--json"])
    assert result.exit_code in (2, 3), result.output
    error = json.loads(result.output.splitlines()[-1])["error"]
    assert reason in error["message"]
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no text to exclude"),
        ('{"intent": "x"}\n', ":1: The line has no 'text'"),
        ("{\n", "JSON"),
    ],
)
def test_what_excludes_nothing_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text(text)
    with pytest.raises(DatasetError, match=reason):
        synthesize(RETAIL, tmp_path / "out", SMALL, exclude=[file])


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OptionError, match="exists already"):
        synthesize(RETAIL, tmp_path / "out", SMALL)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_run_leaves_nothing_half_written(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from converters.cli import main; main()", "synth"]
    command += ["--out", str(tmp_path / "out"), "--lines", "9000", "--languages", "pt,de"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "writing" in process.stderr.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    synthesize(RETAIL, tmp_path / "out", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_runs_do_not_write_one_folder(tmp_path: Path) -> None:
    with (
        resumable_folder(tmp_path / "out", "other"),
        pytest.raises(OptionError, match="Another process"),
    ):
        synthesize(RETAIL, tmp_path / "out", SMALL)


RECIPE = """
[recipe]
name = "shop"
version = "1.0.0"
pack = "retail"

[synth]
lines = 300
languages = ["pt"]
exclude = ["test.txt"]
"""


def test_the_stage_of_a_recipe_runs_again_when_what_it_excludes_changes(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(RECIPE)
    (tmp_path / "test.txt").write_text("até amanhã\n")
    loaded = load_recipe(tmp_path / "shop.toml")

    def runs() -> str:
        made = run(stages(loaded, ModelStore(tmp_path / "models")), tmp_path / "work")
        return made[0].action

    assert runs() == "run"
    lines = Workspace(tmp_path / "work").folder("synth") / "lines"
    assert "até amanhã" not in {line["text"].casefold() for line in rows(lines / "train.jsonl")}
    assert runs() == "keep"
    (tmp_path / "test.txt").write_text("até logo\n")
    assert runs() == "run"


def test_a_recipe_that_excludes_a_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(RECIPE)
    with pytest.raises(OptionError, match=r"synth\.exclude names test\.txt"):
        stages(load_recipe(tmp_path / "shop.toml"), ModelStore(tmp_path / "models"))
