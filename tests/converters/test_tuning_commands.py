"""``edge-convert train``, ``prefer`` and ``merge``: what they print, refuse and exit with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chain_kit import conversations
from click.testing import Result
from converter_kit import lines, names
from lm_kit import tiny_lm
from tuning_kit import pairs
from typer.testing import CliRunner

from converters.cli import app

pytestmark = pytest.mark.usefixtures("_steps_here")
QUICK = ("--steps", "2", "--max-length", "64", "--threads", "1")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)["error"]
    assert "\n" not in found["message"]
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, conversations, ratings, and an adapter."""
    home = tmp_path_factory.mktemp("home")
    tiny_lm(home / "base")
    lines(home / "talk.jsonl", conversations())
    lines(home / "ratings.jsonl", pairs())
    made = train(home, home / "adapter")
    assert made.exit_code == 0, made.output
    return home


def train(home: Path, out: Path, *more: str) -> Result:
    data = ("--data", home / "talk.jsonl")
    return invoke("train", home / "base", *data, "--out", out, *QUICK, *more)


def prefer(home: Path, out: Path, *more: str) -> Result:
    data = ("--data", home / "ratings.jsonl")
    return invoke("prefer", home / "base", home / "adapter", *data, "--out", out, *QUICK, *more)


@pytest.mark.parametrize("command", ["train", "prefer", "merge"])
def test_help_shows_how(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"edge-convert {command} base.gguf" in result.stdout
    for option in ("--out", "--threads", "--json"):
        assert option in result.stdout


def test_training_tells_what_it_did(home: Path, tmp_path: Path) -> None:
    told = train(home, tmp_path / "a", "--rank", "4", "--module", "k_proj", "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found.keys() == {
        "path",
        "lines",
        "too_long",
        "steps",
        "seconds",
        "before",
        "after",
    }
    assert (found["path"], found["lines"], found["steps"]) == (str(tmp_path / "a"), 31, 2)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert (config["r"], config["target_modules"]) == (4, ["k_proj"])


def test_preferences_go_on_from_the_adapter(home: Path, tmp_path: Path) -> None:
    told = prefer(home, tmp_path / "a")
    assert told.exit_code == 0, told.output
    assert "2 steps on 31 lines" in told.stdout
    assert "nats by which preferred replies are likelier: " in told.stdout


def test_what_was_trained_is_merged_and_written_alone(home: Path, tmp_path: Path) -> None:
    target, alone = tmp_path / "merged", tmp_path / "alone.gguf"
    more = ("--adapter-gguf", alone, "--threads", "1", "--json")
    told = invoke("merge", home / "base", home / "adapter", "--out", target, *more)
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["max_difference"] <= 1e-3
    assert found["size"] == alone.stat().st_size
    assert found["adapter_gguf"] == str(alone)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--rank", "0"), "rank"),
        (("--dropout", "2"), "dropout"),
        (("--learning-rate", "0"), "learning_rate"),
    ],
)
def test_impossible_options_are_named(
    home: Path, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    result = train(home, tmp_path / "a", *more, "--json")
    assert result.exit_code == 2
    assert said in error_of(result)["message"]
    assert names(tmp_path) == []


def test_errors_have_their_exit_codes(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    data = ("--data", home / "talk.jsonl", "--out", out, "--json")
    for command, code, kind in (
        (("train", home / "none", *data), 3, "ModelFileError"),
        (("train", home / "base", "--data", home / "none", "--out", out, "--json"), 2, "Dataset"),
        (("train", home / "base", *data, "--out", home / "adapter"), 2, "OptionError"),
        (("train", home / "base", *data, "--module", "c_attn"), 4, "ConversionError"),
        (("prefer", home / "base", home / "base", *data), 3, "ModelFileError"),
        (("prefer", home / "base", home / "adapter", *data), 2, "DatasetError"),
        (("merge", home / "base", home / "none", "--out", out, "--json"), 3, "ModelFileError"),
        (("merge", home / "none", home / "adapter", "--out", out, "--json"), 3, "ModelFileError"),
    ):
        result = invoke(*command)
        assert (result.exit_code, out.exists()) == (code, False), command
        assert error_of(result)["type"].startswith(kind)


def test_an_error_is_words_and_a_hint_for_people(home: Path, tmp_path: Path) -> None:
    result = invoke("merge", home / "base", home / "base", "--out", tmp_path / "a")
    assert result.exit_code == 3
    assert "is no adapter" in result.stderr
    assert "'edge-convert train' wrote" in result.stderr
    assert result.stdout == ""
