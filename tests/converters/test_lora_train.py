"""An adapter learns the replies, the same each time, whatever stops it on the way."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chain_kit import ANSWERS, conversations
from converter_kit import lines, names
from gguf_kit import tiny_pair
from tuning_kit import (
    PROGRAM,
    last_checkpoint,
    loss_told,
    losses,
    run,
    stop_at,
)

from converters.checkpoints import WHOLE, tensors
from converters.errors import ConversionError, DatasetError, ModelFileError, OptionError
from converters.evaluate.engines import model_digest
from converters.hf_to_gguf import convert_to_gguf
from converters.lora import LoraSettings, Trained, merge_adapter, train_lora
from converters.lora.adapter import read_adapter
from converters.quantize import quantize
from edge_runtime.errors import StorageError

pytestmark = pytest.mark.usefixtures("_steps_here")
SETTINGS = LoraSettings(epochs=2, learning_rate=1e-2, max_length=64, seed=3)
OPTIONS = ("--epochs", "2", "--learning-rate", "1e-2", "--max-length", "64", "--seed", "3")
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def trained(base: Path, talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    out, told = tmp_path_factory.mktemp("trained") / "adapter", []
    made = train_lora(base, talk, out, SETTINGS, threads=1, progress=lambda *say: told.append(say))
    assert loss_told(told, "tuning")
    return made


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS).read_bytes()


def refused(kind: type[Exception], match: str, *args: Any, **kwargs: Any) -> Any:
    with pytest.raises(kind, match=match) as caught:
        train_lora(*args, threads=1, **kwargs)
    assert "\n" not in str(caught.value)
    return caught.value


def test_replies_that_were_held_out_become_likelier(trained: Trained, tmp_path: Path) -> None:
    assert trained.after < trained.before / 1.5
    assert (trained.lines, trained.steps) == (31, 16)
    curve = losses(trained.path)
    assert [point["step"] for point in curve] == list(range(1, 17))
    assert curve[-1]["loss"] < curve[0]["loss"] / 1.5


def test_the_folder_is_an_adapter_that_knows_its_base(trained: Trained, base: Path) -> None:
    assert names(trained.path) == [
        "adapter_config.json",
        WEIGHTS,
        "base.json",
        "losses.jsonl",
        "losses.png",
        "training.json",
    ]
    config = json.loads((trained.path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (16, 32, 0.1)
    assert config["target_modules"] == ["q_proj", "v_proj"]
    assert config["base_model_name_or_path"] == ""
    assert json.loads((trained.path / "base.json").read_text())["base"] == model_digest(base)
    assert len(read_adapter(trained.path).pairs) == 4
    assert (trained.path / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((trained.path / "training.json").read_text())["settings"]["seed"] == 3


def test_only_replies_are_learnt(base: Path, tmp_path: Path) -> None:
    from converters.lora import fit
    from converters.training import open_tokenizer

    tokenizer = open_tokenizer(str(base))
    job = {
        "base": str(base),
        "scratch": str(tmp_path / "scratch"),
        "settings": {**fields(SETTINGS), "batch": 32},
    }
    trainer = fit._replies(job, tokenizer, list(conversations()))
    batch = next(iter(trainer.get_train_dataloader()))
    learnt = {tokenizer.decode(row[row != -100]) for row in batch["labels"]}
    assert learnt == {f"{answer}<|im_end|>\n" for answer in ANSWERS.values()}
    assert batch["input_ids"].shape[0] == 32


def fields(settings: LoraSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__slots__}


def test_killed_and_stopped_it_ends_where_it_would_have(
    trained: Trained, base: Path, talk: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adapter"
    command = [PROGRAM, "train", base, "--data", talk, "--out", out, *OPTIONS]
    killed = stop_at(6, out, command, signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    assert not out.exists()
    reached = last_checkpoint(out)
    assert 6 <= reached < 16
    stopped = stop_at(12, out, command, signal.SIGINT)
    assert stopped.code == 130, stopped.errors
    assert "Traceback" not in stopped.errors
    assert not out.exists()
    assert last_checkpoint(out) > reached
    done = run(command)
    assert done.code == 0, done.errors
    assert weights(out) == weights(trained.path)
    assert losses(out) == losses(trained.path)
    assert (done.told["before"], done.told["after"]) == (trained.before, trained.after)
    assert names(tmp_path) == ["adapter"]
    assert names(out) == names(trained.path)


def test_another_seed_makes_another_adapter(
    trained: Trained, base: Path, talk: Path, tmp_path: Path
) -> None:
    made = train_lora(base, talk, tmp_path / "out", replace(SETTINGS, seed=4), threads=1)
    assert weights(made.path) != weights(trained.path)


def test_a_full_disk_is_one_sentence_and_a_later_run_goes_on(
    trained: Trained, base: Path, talk: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adapter"
    command = [PROGRAM, "train", base, "--data", talk, "--out", out, *OPTIONS]
    # The adapter fits, the optimiser's state beside it does not.
    full = run(command, limit=len(weights(trained.path)) * 3 // 2)
    assert full.code == 5, full
    assert "Traceback" not in full.errors
    assert full.told["error"]["type"] == "StorageError"
    assert full.told["error"]["message"].startswith("The disk is full while tuning: ")
    assert "\n" not in full.told["error"]["message"]
    assert not out.exists()
    assert run(command).code == 0
    assert weights(out) == weights(trained.path)


def test_a_line_without_messages_is_named_and_leaves_nothing(base: Path, tmp_path: Path) -> None:
    path = lines(tmp_path / "talk.jsonl", [*list(conversations())[:2], {"text": "hello"}])
    error = refused(DatasetError, "no 'messages'", base, path, tmp_path / "out")
    assert error.line == 3
    assert "talk.jsonl:3: " in error.message
    assert names(tmp_path) == ["talk.jsonl"]


def test_conversations_without_replies_are_refused(base: Path, tmp_path: Path) -> None:
    rows = [{"messages": row["messages"][:-1]} for row in conversations()]
    refused(DatasetError, "Nobody replies", base, lines(tmp_path / "t", rows), tmp_path / "out")


def test_lines_that_all_say_the_same_can_be_learnt(base: Path, tmp_path: Path) -> None:
    path = lines(tmp_path / "talk.jsonl", [next(conversations())] * 3)
    made = train_lora(base, path, tmp_path / "out", replace(SETTINGS, steps=1), threads=1)
    assert (made.lines, made.steps) == (3, 1)


def test_a_folder_that_exists_is_left_alone(trained: Trained, base: Path, talk: Path) -> None:
    before = weights(trained.path)
    refused(OptionError, "exists already", base, talk, trained.path, SETTINGS)
    assert weights(trained.path) == before


def test_an_unsafe_or_damaged_base_is_refused(base: Path, talk: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(base, tmp_path / "lm"))
    content = (copy / WHOLE).read_bytes()
    (copy / WHOLE).write_bytes(content[:-4])
    refused(ModelFileError, "cut short", copy, talk, tmp_path / "out")
    (copy / WHOLE).rename(copy / "pytorch_model.bin")
    refused(ModelFileError, "a pickle", copy, talk, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("module", "said"),
    [("c_attn", "c_attn"), ("lm_head", "shares its weights with the embeddings")],
)
def test_a_layer_that_takes_no_adapter_is_named(
    base: Path, talk: Path, tmp_path: Path, module: str, said: str
) -> None:
    wrong = replace(SETTINGS, modules=(module,))
    refused(ConversionError, said, base, talk, tmp_path / "out", wrong)
    assert not (tmp_path / "out").exists()


def test_a_base_without_a_chat_template_is_told_of(base: Path, talk: Path, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(base, tmp_path / "lm"))
    (plain / "chat_template.jinja").unlink()
    refused(ConversionError, "no chat template", plain, talk, tmp_path / "out", SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        {"rank": 0},
        {"alpha": 0},
        {"dropout": 1.5},
        {"learning_rate": float("nan")},
        {"batch": 0},
        {"max_length": 1},
        {"modules": ()},
        {"seed": -1},
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        replace(SETTINGS, **change)


def test_too_little_room_is_said_before_anything_is_learnt(
    base: Path, talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, needed: int) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr("converters.lora.training.require_space", full)
    refused(StorageError, "disk is full", base, talk, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_a_quantised_gguf_file_is_tuned_merged_and_run(talk: Path, tmp_path: Path) -> None:
    _, whole = tiny_pair(tmp_path)
    small = tmp_path / "small.gguf"
    quantize(whole, small, "Q8_0", threads=1)
    made = train_lora(small, talk, tmp_path / "adapter", SETTINGS, threads=1)
    assert made.after < made.before
    assert json.loads((made.path / "base.json").read_text())["base"] == model_digest(small)
    with pytest.raises(ModelFileError, match="is for another base"):
        merge_adapter(whole, made.path, tmp_path / "other")
    merged = merge_adapter(small, made.path, tmp_path / "merged", threads=1)
    assert merged.max_difference <= 1e-3
    stored = {name for _, part in tensors(merged.path) for name in part}
    assert "lm_head.weight" not in stored
    assert convert_to_gguf(merged.path, tmp_path / "merged.gguf", "F16").stat().st_size > 0
