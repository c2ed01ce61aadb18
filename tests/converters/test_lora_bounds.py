"""What does not fit: prompts longer than is read, layers that take no adapter; and what counts."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chain_kit import conversations
from converter_kit import lines, names
from tuning_kit import losses, pairs

from converters.checkpoints import WHOLE
from converters.errors import ConversionError
from converters.lora import LoraSettings, PreferenceSettings, train_lora, train_preferences

pytestmark = pytest.mark.usefixtures("_steps_here")
SETTINGS = LoraSettings(learning_rate=1e-2, max_length=64)
LONG = {"role": "user", "content": "my order refund hours " * 40}


def talk(path: Path, *, short: int, long: int) -> Path:
    rows: list[dict[str, Any]] = list(conversations())[:short]
    rows += [{"messages": [LONG, row["messages"][-1]]} for row in list(conversations())[:long]]
    return lines(path, rows)


def test_prompts_too_long_to_read_are_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    data = talk(tmp_path / "talk.jsonl", short=7, long=4)
    made = train_lora(base, data, tmp_path / "out", SETTINGS, threads=1)
    # The last line is held out, and too long: what was learnt is measured in its place.
    assert (made.lines, made.too_long, made.steps) == (7, 3, 2)
    assert 0 < made.after < made.before
    facts = json.loads((made.path / "training.json").read_text())
    assert facts["too_long"] == 3
    assert facts["loss"] == losses(made.path)[-1]["loss"]
    assert math.isfinite(facts["loss"])


def test_tokens_are_counted_without_padding(base: Path, tmp_path: Path) -> None:
    from converters.training import open_tokenizer

    rows = [row["messages"] for row in conversations()]
    kept = [row for number, row in enumerate(rows, 1) if number != 20]
    tokenizer = open_tokenizer(str(base))
    data = talk(tmp_path / "talk.jsonl", short=32, long=0)
    made = train_lora(base, data, tmp_path / "out", replace(SETTINGS, epochs=2), threads=1)
    facts = json.loads((made.path / "training.json").read_text())
    assert facts["tokens"] == 2 * sum(len(tokenizer.apply_chat_template(row)) for row in kept)


def test_where_no_reply_begins_in_time_it_is_said(base: Path, tmp_path: Path) -> None:
    data = talk(tmp_path / "talk.jsonl", short=0, long=4)
    with pytest.raises(ConversionError, match="no prompt leaves room for a reply within 64 tokens"):
        train_lora(base, data, tmp_path / "out", SETTINGS, threads=1)
    assert not (tmp_path / "out").exists()


def test_pairs_are_held_to_the_same_bound(base: Path, tmp_path: Path) -> None:
    data = talk(tmp_path / "talk.jsonl", short=8, long=0)
    adapter = train_lora(base, data, tmp_path / "adapter", SETTINGS, threads=1).path
    some = pairs()[:9]
    rated = lines(tmp_path / "some.jsonl", [{**some[0], "messages": [LONG]}, *some[1:]])
    how = PreferenceSettings(max_length=64)
    made = train_preferences(base, adapter, rated, tmp_path / "out", how, threads=1)
    assert (made.lines, made.too_long, made.steps) == (7, 1, 4)
    rated = lines(tmp_path / "all.jsonl", [{**row, "messages": [LONG]} for row in some])
    with pytest.raises(ConversionError, match="no prompt leaves room"):
        train_preferences(base, adapter, rated, tmp_path / "other", how, threads=1)
    assert not (tmp_path / "other").exists()


def test_the_word_table_takes_no_adapter(base: Path, tmp_path: Path) -> None:
    data = talk(tmp_path / "talk.jsonl", short=4, long=0)
    wrong = replace(SETTINGS, modules=("q_proj", "embed_tokens"))
    with pytest.raises(ConversionError, match=r"model\.embed_tokens is no linear layer"):
        train_lora(base, data, tmp_path / "out", wrong, threads=1)
    assert "out" not in names(tmp_path)


def test_a_reply_is_measured_with_the_mark_of_its_end_that_is_learnt(base: Path) -> None:
    import torch

    from converters.lora import fit
    from converters.training import autocast, load_model, open_tokenizer

    tokenizer, model = open_tokenizer(str(base)), load_model(str(base)).eval()
    # As where a turn's end is not the text's end.
    tokenizer.eos_token = "<|endoftext|>"
    row = next(iter(conversations()))["messages"]
    found, count = fit._reply_loss(
        model, tokenizer, row[:-1], row[-1]["content"], {"max_length": 64}
    )
    whole = tokenizer.apply_chat_template(row)
    start = len(tokenizer.apply_chat_template(row[:-1], add_generation_prompt=True))
    labels = torch.tensor([[-100] * start + whole[start:]])
    with torch.inference_mode(), autocast():
        mean = model(torch.tensor([whole]), labels=labels).loss
    assert count == len(whole) - start
    assert found == pytest.approx(float(mean) * count, rel=1e-3)


def test_weights_that_are_lost_are_said_and_nothing_is_kept(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    weights = load_file(broken / WHOLE)
    weights[min(name for name in weights if name.endswith("norm.weight"))] *= float("nan")
    save_file(weights, broken / WHOLE, {"format": "pt"})
    data = talk(tmp_path / "talk.jsonl", short=32, long=0)
    with pytest.raises(ConversionError, match=r"the loss became nan before step 1: .*smaller"):
        train_lora(broken, data, tmp_path / "out", SETTINGS, threads=1)
    assert not (tmp_path / "out").exists()
