"""Rated replies move an adapter on, away from what it was and only as far as that is paid for."""

from __future__ import annotations

import json
import math
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chain_kit import conversations
from converter_kit import lines, names
from lm_kit import tiny_lm
from tuning_kit import PROGRAM, last_checkpoint, loss_told, losses, pairs, run, stop_at

from converters.errors import DatasetError, ModelFileError, OptionError
from converters.evaluate.engines import model_digest
from converters.lora import (
    LoraSettings,
    PreferenceSettings,
    Trained,
    merge_adapter,
    train_lora,
    train_preferences,
)

pytestmark = pytest.mark.usefixtures("_steps_here")
TUNING = LoraSettings(steps=8, learning_rate=1e-2, max_length=64)
SETTINGS = PreferenceSettings(steps=12, imitation=0.0, learning_rate=1e-3, max_length=64, seed=3)
OPTIONS = (
    *("--steps", "12", "--imitation", "0", "--learning-rate", "1e-3"),
    *("--max-length", "64", "--seed", "3"),
)
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tuned")
    data = lines(home / "talk.jsonl", conversations())
    return train_lora(base, data, home / "adapter", TUNING, threads=1).path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lines(tmp_path_factory.mktemp("data") / "ratings.jsonl", pairs())


@pytest.fixture(scope="module")
def preferred(
    base: Path, tuned: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    out, told = tmp_path_factory.mktemp("preferred") / "adapter", []
    progress = lambda *say: told.append(say)  # noqa: E731
    made = train_preferences(base, tuned, data, out, SETTINGS, threads=1, progress=progress)
    assert loss_told(told, "tuning")
    return made


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS).read_bytes()


def test_preferred_replies_become_likelier_than_the_others(preferred: Trained) -> None:
    assert preferred.after > preferred.before + 2
    assert (preferred.lines, preferred.steps) == (31, 12)


def test_moving_is_measured_from_the_adapter_as_it_was(preferred: Trained) -> None:
    curve = losses(preferred.path)
    # Where nothing has moved yet, either reply is as much likelier as before: ln 2.
    assert curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_it_is_one_adapter_for_the_same_base(preferred: Trained, base: Path, tuned: Path) -> None:
    assert names(preferred.path) == names(tuned)
    assert json.loads((preferred.path / "base.json").read_text())["base"] == model_digest(base)
    assert weights(preferred.path) != weights(tuned)
    assert len(weights(preferred.path)) == len(weights(tuned))


def test_it_merges_into_the_base(preferred: Trained, base: Path, tmp_path: Path) -> None:
    merged = merge_adapter(base, preferred.path, tmp_path / "out", threads=1)
    assert merged.max_difference <= 1e-3


def test_dearer_moves_are_smaller(
    preferred: Trained, base: Path, tuned: Path, data: Path, tmp_path: Path
) -> None:
    dear = replace(SETTINGS, beta=5.0)
    made = train_preferences(base, tuned, data, tmp_path / "out", dear, threads=1)
    assert made.before == preferred.before
    assert made.before < made.after < preferred.after


def test_imitated_replies_become_likelier_themselves(
    preferred: Trained, base: Path, tuned: Path, data: Path, tmp_path: Path
) -> None:
    imitating = replace(SETTINGS, imitation=PreferenceSettings().imitation)
    made = train_preferences(base, tuned, data, tmp_path / "out", imitating, threads=1)
    assert made.after > made.before + 2
    surprise = {path: surprise_of_preferred(base, path) for path in (tuned, made.path)}
    assert surprise[made.path] < 0.9 * surprise[tuned]
    assert surprise[made.path] < surprise_of_preferred(base, preferred.path)


def surprise_of_preferred(base: Path, adapter: Path) -> float:
    """Mean nats a token of the preferred replies, over the pairs."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    found = []
    for pair in pairs():
        asked = tokenizer.apply_chat_template(pair["messages"], add_generation_prompt=True)
        said = [*pair["messages"], {"role": "assistant", "content": pair["chosen"]}]
        ids = torch.tensor([tokenizer.apply_chat_template(said)])
        labels = ids.clone()
        labels[:, : len(asked)] = -100
        with torch.inference_mode():
            found.append(float(model(input_ids=ids, labels=labels).loss))
    return sum(found) / len(found)


def test_killed_it_ends_where_it_would_have(
    preferred: Trained, base: Path, tuned: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adapter"
    command = [PROGRAM, "prefer", base, tuned, "--data", data, "--out", out, *OPTIONS]
    killed = stop_at(4, out, command, signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    assert not out.exists()
    assert 4 <= last_checkpoint(out) < 12
    done = run(command)
    assert done.code == 0, done.errors
    assert weights(out) == weights(preferred.path)
    assert losses(out) == losses(preferred.path)
    assert (done.told["before"], done.told["after"]) == (preferred.before, preferred.after)


def test_single_ratings_teach_the_same(
    preferred: Trained, base: Path, tuned: Path, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = []
    for pair in pairs():
        rows.append({"messages": pair["messages"], "reply": pair["chosen"], "rating": 5})
        rows.append({"messages": pair["messages"], "reply": pair["rejected"], "rating": 1})
    data = lines(tmp_path / "ratings.jsonl", rows)
    made = train_preferences(base, tuned, data, tmp_path / "out", SETTINGS, threads=1)
    assert weights(made.path) == weights(preferred.path)


def test_an_adapter_of_another_base_is_refused(tuned: Path, data: Path, tmp_path: Path) -> None:
    other = tiny_lm(tmp_path / "other", seed=9)
    with pytest.raises(ModelFileError, match="is for another base"):
        train_preferences(other, tuned, data, tmp_path / "out", SETTINGS)
    assert names(tmp_path) == ["other"]


def test_what_is_no_adapter_is_refused(base: Path, tuned: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is no adapter"):
        train_preferences(base, base, data, tmp_path / "out", SETTINGS)
    cut = Path(shutil.copytree(tuned, tmp_path / "cut"))
    (cut / WEIGHTS).write_bytes(weights(tuned)[:-8])
    with pytest.raises(ModelFileError, match="cut short"):
        train_preferences(base, cut, data, tmp_path / "out", SETTINGS)
    assert names(tmp_path) == ["cut"]


def test_what_prefers_nothing_is_refused(base: Path, tuned: Path, tmp_path: Path) -> None:
    data = lines(tmp_path / "talk.jsonl", conversations())
    with pytest.raises(DatasetError, match=r"talk\.jsonl:1: The line has no 'chosen'"):
        train_preferences(base, tuned, data, tmp_path / "out", SETTINGS)
    assert names(tmp_path) == ["talk.jsonl"]


@pytest.mark.parametrize(
    "change", [{"beta": 0.0}, {"imitation": -1.0}, {"epochs": 0}, {"learning_rate": 2.0}]
)
def test_impossible_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        replace(SETTINGS, **change)
