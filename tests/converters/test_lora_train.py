"""Adapters: learnt from replies and from ratings, the same twice, and whole or absent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chain_kit import conversations
from converter_kit import lines, names
from lm_kit import tiny_lm
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import ConversionError, DatasetError, ModelFileError, OptionError
from converters.lora import LoraSettings, PreferenceSettings, train_lora, train_preferences
from converters.lora.pairs import read_pairs
from converters.lora.training import Trained

HOW = LoraSettings(rank=4, alpha=8, epochs=4, learning_rate=2e-2, batch=4, max_length=64)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm(tmp_path_factory.mktemp("base") / "lm")


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lines(tmp_path_factory.mktemp("data") / "talk.jsonl", conversations())


@pytest.fixture(scope="module")
def tuned(base: Path, talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_lora(base, talk, tmp_path_factory.mktemp("tuned") / "adapter", HOW, threads=1)


def weights(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def test_replies_are_learnt_and_the_folder_is_complete(tuned: Trained) -> None:
    assert tuned.after < 0.7 * tuned.before
    assert tuned.steps == 32
    assert names(tuned.path) == [
        *("adapter_config.json", "adapter_model.safetensors", "base.json", "losses.jsonl"),
        *("losses.png", "training.json"),
    ]
    assert (tuned.path / "losses.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((tuned.path / "adapter_config.json").read_bytes())
    assert (config["r"], config["lora_alpha"]) == (4, 8)
    assert config["target_modules"] == ["q_proj", "v_proj"]
    assert config["base_model_name_or_path"] == ""


def test_the_same_seed_gives_the_same_adapter(
    tuned: Trained, base: Path, talk: Path, tmp_path: Path
) -> None:
    again = train_lora(base, talk, tmp_path / "again", HOW, threads=1)
    assert weights(again.path) == weights(tuned.path)


def test_a_killed_training_goes_on_and_comes_to_the_same(
    tuned: Trained, base: Path, talk: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    program = str(Path(sys.executable).with_name("edge-convert"))
    given = ["--rank", "4", "--alpha", "8", "--epochs", "4", "--learning-rate", "0.02"]
    more = ["--max-length", "64", "--threads", "1", "--json"]
    with subprocess.Popen(
        [program, "train", str(base), "--data", str(talk), "--out", str(out), *given, *more],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        kept = tmp_path / ".killed.partial" / ".checkpoints"
        while process.poll() is None and not any(kept.glob("checkpoint-*/trainer_state.json")):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert names(tmp_path) == [".killed.partial"]
    made = train_lora(base, talk, out, HOW, threads=1)
    assert made.steps == tuned.steps
    assert weights(out) == weights(tuned.path)


def test_what_is_no_conversation_names_file_and_line(base: Path, tmp_path: Path) -> None:
    data = lines(tmp_path / "talk.jsonl", [*conversations(), {"text": "hello"}])
    with pytest.raises(DatasetError, match=r"talk\.jsonl:33: The line has no 'messages'"):
        train_lora(base, data, tmp_path / "out", HOW)
    asked = [{"messages": [{"role": "user", "content": "hello"}]}]
    with pytest.raises(DatasetError, match="Nobody replies"):
        train_lora(base, lines(tmp_path / "asked.jsonl", asked), tmp_path / "out", HOW)
    assert names(tmp_path) == ["asked.jsonl", "talk.jsonl"]


def test_a_module_that_the_base_lacks_is_named(base: Path, talk: Path, tmp_path: Path) -> None:
    how = LoraSettings(modules=("w_proj",), max_length=64)
    with pytest.raises(ConversionError, match="w_proj"):
        train_lora(base, talk, tmp_path / "out", how, threads=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong", [{"rank": 0}, {"dropout": 1.5}, {"learning_rate": 0.0}, {"batch": 0}, {"modules": ()}]
)
def test_settings_out_of_range_are_one_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        LoraSettings(**wrong)  # type: ignore[arg-type]


RATED = [
    {"messages": row["messages"][:1], "reply": reply, "rating": rating}
    for row in conversations()
    for reply, rating in (("We open at nine.", 5), ("Go away.", 1), ("Go away now.", 2))
]


def test_rated_replies_become_the_best_against_each_worse_one(tmp_path: Path) -> None:
    pairs = read_pairs(lines(tmp_path / "rated.jsonl", RATED))
    assert len(pairs) == 64
    assert {pair.chosen for pair in pairs} == {"We open at nine."}
    assert {pair.rejected for pair in pairs} == {"Go away.", "Go away now."}
    equal = [{**row, "rating": 3} for row in RATED]
    with pytest.raises(DatasetError, match="rated differently"):
        read_pairs(lines(tmp_path / "equal.jsonl", equal))
    broken = [RATED[0], {**RATED[1], "rating": "good"}]
    with pytest.raises(DatasetError, match=r"broken\.jsonl:2: 'rating' is no number"):
        read_pairs(lines(tmp_path / "broken.jsonl", broken))


def test_preferred_replies_become_likelier(tuned: Trained, base: Path, tmp_path: Path) -> None:
    data = lines(tmp_path / "rated.jsonl", RATED)
    how = PreferenceSettings(steps=10, learning_rate=2e-3, batch=4, max_length=64)
    made = train_preferences(base, tuned.path, data, tmp_path / "out", how, threads=1)
    assert made.after > made.before
    assert weights(made.path) != weights(tuned.path)
    assert (made.path / "base.json").read_bytes() == (tuned.path / "base.json").read_bytes()


def test_an_adapter_for_another_base_is_refused(tuned: Trained, tmp_path: Path) -> None:
    other = tiny_lm(tmp_path / "other", seed=5)
    data = lines(tmp_path / "rated.jsonl", RATED)
    with pytest.raises(ModelFileError, match="for another base"):
        train_preferences(other, tuned.path, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_commands_print_json(base: Path, talk: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    given = ["--steps", "2", "--max-length", "64", "--threads", "1", "--json"]
    made = CliRunner().invoke(
        app, ["train", str(base), "--data", str(talk), "--out", str(out), *given]
    )
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["steps"] == 2
    again = CliRunner().invoke(
        app, ["train", str(base), "--data", str(talk), "--out", str(out), *given]
    )
    assert again.exit_code == 2
    assert "exists already" in json.loads(again.stdout)["error"]["message"]
    merged = CliRunner().invoke(
        app, ["merge", str(base), str(out), "--out", str(tmp_path / "merged"), "--json"]
    )
    assert merged.exit_code == 0, merged.output
    assert json.loads(merged.stdout)["max_difference"] <= 1e-3
