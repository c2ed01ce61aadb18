"""Training the student's heads from labelled lines, and measuring a pack's understanding."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from converter_kit import labelled, lines, names
from encoder_kit import tiny_device
from hypothesis import given
from hypothesis import strategies as st
from tuning_kit import loss_told
from typer.testing import CliRunner

from converters import train_nlu as training
from converters.cli import app
from converters.dataset import Row
from converters.encoder import calibrating
from converters.encoder.fit import held_out
from converters.encoder.labels import with_names
from converters.encoder.settings import TaskSettings
from converters.errors import DatasetError, OptionError
from converters.evaluate.cards import parse_bars, read_card
from converters.evaluate.nlu import NluModel, Scored, evaluate_nlu, metrics
from converters.splits import read_splits
from converters.train_nlu import Device, TrainedNlu, train_nlu
from edge_runtime.bundles import shipped_files
from edge_runtime.bundles.blobs import check_file, sha256_of
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.config import PACKS_DIR
from edge_runtime.errors import StorageError
from edge_runtime.nlu.student import STUDENT_BASE
from edge_runtime.trained import opened_bundle
from edge_runtime.turn import Entity, Understanding

pytestmark = [pytest.mark.usefixtures("_steps_here"), pytest.mark.xdist_group("nlu training")]
HOW = TaskSettings(epochs=1, rounds=1, learning_rate=2e-3, head_rate=1e-2, averaging=0.9)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return _write(tmp_path / "data")


def _write(folder: Path) -> Path:
    lines(folder / "train.jsonl", [_with_entity(row) for row in labelled(outside="oos")])
    endings = (" anyway", " friend")
    lines(folder / "valid.jsonl", labelled(outside="oos", endings=endings))
    lines(folder / "test.jsonl", labelled(outside="oos", endings=(" quickly",)))
    return folder


def _with_entity(row: dict[str, object]) -> dict[str, object]:
    found = {"garment": "coat"} if "coat" in str(row["text"]) else {}
    return {**row, "entities": found}


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    return tiny_device(tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def made(device: Device, tmp_path_factory: pytest.TempPathFactory) -> TrainedNlu:
    home = tmp_path_factory.mktemp("made")
    told: list[tuple[Any, ...]] = []
    how: dict[str, object] = {"progress": lambda *say: told.append(say)}
    how["bars"] = parse_bars(["in_scope_accuracy=0.1"])
    made = _trained(_write(home / "data"), home / "nlu", device, **how)
    assert loss_told(told, "training")
    return made


def _trained(data: Path, out: Path, device: Device, **more: object) -> TrainedNlu:
    given: dict[str, object] = {"bars": {}, "outside": "oos", "how": HOW, "threads": 1, **more}
    return train_nlu(data, out, device, **given)  # type: ignore[arg-type]


def test_training_writes_verified_files_and_a_card(made: TrainedNlu, device: Device) -> None:
    manifest = BundleManifest.from_json((made.path / "manifest.json").read_bytes())
    assert manifest.digest == made.digest
    for component in manifest.components:
        path = made.path / "files" / component.name
        check_file(path, component.size, component.sha256, label=component.name)
    assert names(made.path) == ["card.json", "card.md", "files", "manifest.json"]
    labels = json.loads((made.path / "files" / "labels.json").read_text())
    assert labels["threshold"] == made.threshold <= 0.5
    assert labels["intents"] == ["opening_hours", "order_status", "out_of_scope", "refund"]
    assert labels["sentiments"] == ["negative", "neutral"]
    assert labels["tags"] == ["O", "B-garment", "I-garment"]
    assert labels["pack"] is None
    card = read_card(made.path / "card.json")
    assert card == made.card
    assert card.subject == sha256_of(made.path / "files" / "labels.json")
    assert "test.jsonl" in card.dataset
    measured = {"in_scope_argmax", "in_scope_argmax_fp32", "out_of_scope_recall", "intent_ece"}
    measured |= {"held_out_in_scope", "held_out_turned_away"}
    assert measured | {"sentiment_macro_f1"} <= set(card.metrics)


def test_the_device_understands_what_was_trained(made: TrainedNlu, device: Device) -> None:
    # Random layers learn four intents from eight ways of saying each; chance is a quarter.
    assert made.card.metrics["in_scope_argmax"] > 0.7
    assert (
        abs(made.card.metrics["in_scope_argmax"] - made.card.metrics["in_scope_argmax_fp32"]) < 0.2
    )
    with opened_bundle(made.path, device.settings, device.base) as understander:
        found = understander.understand("refund this coat please")
    assert found.candidates[0][0] == "refund"
    assert 0 <= found.intent_confidence <= 1


def test_training_twice_gives_the_same_bundle(
    made: TrainedNlu, device: Device, data: Path, tmp_path: Path
) -> None:
    again = _trained(data, tmp_path / "nlu", device)
    assert again.digest == made.digest
    assert again.card.metrics == made.card.metrics


def test_without_test_lines_some_are_held_out(data: Path) -> None:
    both = read_splits(data, outside="oos")
    assert len(both.test) < len(both.valid)
    (data / "test.jsonl").unlink()
    assert "also set the threshold" in read_splits(data, outside="oos").measured_on
    (data / "valid.jsonl").unlink()
    alone = read_splits(data, outside="oos")
    assert len(alone.test) > 5
    assert {row.line for row in alone.test}.isdisjoint(row.line for row in alone.train)


def test_a_line_without_text_or_intent_stops_training(
    data: Path, tmp_path: Path, device: Device
) -> None:
    train = data / "train.jsonl"
    whole = train.read_text()
    for bad in ('{"intent": "refund"}', '{"text": "hello"}', '{"text": "\\u200b", "intent": "x"}'):
        train.write_text(whole + bad + "\n")
        line = whole.count("\n") + 1
        with pytest.raises(DatasetError, match=rf"train\.jsonl:{line}: "):
            _trained(data, tmp_path / "nlu", device)
    assert names(tmp_path) == ["data"]


def test_an_intent_of_the_test_lines_must_be_trained(
    data: Path, tmp_path: Path, device: Device
) -> None:
    lines(data / "test.jsonl", [{"text": "money", "intent": "refnd"}])
    with pytest.raises(DatasetError, match=r"test\.jsonl:1") as caught:
        _trained(data, tmp_path / "nlu", device)
    assert caught.value.hint == "Did you mean 'refund'?"


def test_an_existing_folder_is_not_touched(data: Path, tmp_path: Path, device: Device) -> None:
    out = tmp_path / "nlu"
    out.mkdir()
    with pytest.raises(OptionError, match="exists already"):
        _trained(data, out, device)


def test_ctrl_c_while_measuring_loses_no_training(
    made: TrainedNlu,
    data: Path,
    tmp_path: Path,
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _trained(data, tmp_path / "nlu", device)
    assert names(tmp_path) == [".nlu.partial", "data"]
    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "_fit", interrupted)
        assert _trained(data, tmp_path / "nlu", device).digest == made.digest


def test_without_lines_to_calibrate_on_parts_of_the_training_are_held_out_in_turn(
    data: Path, tmp_path: Path, device: Device
) -> None:
    (data / "valid.jsonl").unlink()
    made = _trained(data, tmp_path / "nlu", device)
    labels = json.loads((made.path / "files" / "labels.json").read_text())
    assert tuple(labels["calibration"]) != calibrating.PLAIN
    assert labels["sentiment_temperature"] != 1.0
    assert made.card.metrics["in_scope_argmax"] > 0.7


def test_lines_to_calibrate_on_are_learnt_in_the_end_unless_they_are_measured_on(
    data: Path, tmp_path: Path, device: Device
) -> None:
    slang = [f"gizmo {end}" for end in ("one", "two", "three", "four", "five", "six")]
    rows = [{"text": text, "intent": "refund"} for text in slang]
    lines(data / "valid.jsonl", rows[:4])
    lines(data / "test.jsonl", rows[4:])
    _trained(data, tmp_path / "learnt", device)
    assert [_best(tmp_path / "learnt", device, text) for text in slang] == ["refund"] * 6
    (data / "test.jsonl").unlink()
    _trained(data, tmp_path / "apart", device)
    assert [_best(tmp_path / "apart", device, text) for text in slang] != ["refund"] * 6


def _best(bundle: Path, device: Device, text: str) -> str:
    with opened_bundle(bundle, device.settings, device.base) as understander:
        return understander.understand(text).candidates[0][0]


@given(counts=st.lists(st.integers(1, 900), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_every_intent_gives_a_quarter_at_a_time_until_there_are_enough(
    counts: list[int], seed: int
) -> None:
    intents = torch.cat([torch.full((count,), index) for index, count in enumerate(counts)])
    parts = held_out(intents, seed)
    rows = [row for part in parts for row in part]
    assert len(rows) == len(set(rows)) >= min(1000, len(intents))
    assert len(rows) - len(parts[-1]) < 1000
    for part in parts:
        for index, count in enumerate(counts):
            given_away = int((intents[part] == index).sum())
            assert abs(given_away - count / 4) < 1


@pytest.mark.parametrize("kept", ["round-0", "part-0"])
def test_a_killed_training_goes_on_and_comes_to_the_same(
    kept: str, data: Path, tmp_path: Path, device: Device
) -> None:
    if kept == "part-0":
        (data / "valid.jsonl").unlink()
    how = TaskSettings(epochs=1, rounds=2, learning_rate=2e-3, head_rate=1e-2, averaging=0.9)
    whole = _trained(data, tmp_path / "whole" / "nlu", device, how=how)
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path\n"
        "from encoder_kit import tiny_device\n"
        "from converters.train_nlu import train_nlu\n"
        "from converters.encoder.settings import TaskSettings\n"
        "how = TaskSettings(epochs=1, rounds=2, learning_rate=2e-3, head_rate=1e-2,\n"
        "                   averaging=0.9)\n"
        "data, out, home = map(Path, sys.argv[3:])\n"
        "train_nlu(data, out, tiny_device(home), bars={}, outside='oos', how=how, threads=1)\n"
    )
    here = Path(__file__).parent
    home = next(iter(device.base.values())).parents[2]
    arguments = [
        str(here),
        str(here.parent),
        str(data),
        str(tmp_path / "killed" / "nlu"),
        str(home),
    ]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stderr=subprocess.DEVNULL,
    ) as process:
        scratch = tmp_path / "killed" / ".nlu.partial" / ".scratch"
        while process.poll() is None and not (scratch / f"{kept}.safetensors").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "killed" / "nlu").exists()
    assert _trained(data, tmp_path / "killed" / "nlu", device, how=how).digest == whole.digest


def test_what_a_threshold_keeps_and_turns_away_is_told() -> None:
    intents, wanted = ("a", "b", "out_of_scope"), ["a", "a", "a", "b", *["out_of_scope"] * 4]
    best = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    sure = np.array([0.9, 0.1, 0.9, 0.5, 0.4, 0.1, 0.2, 0.9])
    assert calibrating.shares(best, sure, intents, wanted, 0.5) == {
        "held_out_in_scope": 0.5,
        "held_out_turned_away": 0.75,
    }
    assert calibrating.shares(best[:4], sure[:4], intents, wanted[:4], 0.0) == {
        "held_out_in_scope": 0.75
    }


def test_doubtful_requests_are_turned_away_at_the_stated_cost() -> None:
    intents = ("a", "b", "out_of_scope")
    wanted = ["a"] * 10
    best, sure = np.zeros(10, np.int64), np.linspace(0.05, 0.95, 10)
    free = calibrating.threshold(best, sure, intents, wanted, 0.0)
    some = calibrating.threshold(best, sure, intents, wanted, 0.2)
    assert (sure < free).sum() == 0
    assert (sure < some).sum() == 2
    assert calibrating.threshold(best, sure, intents, wanted, 0.9) == calibrating.HALF


def test_calibrated_chances_tell_how_often_it_is_right() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 6000)
    logits = random.normal(0, 1, (6000, 3)).astype(np.float32)
    logits[np.arange(6000), truth] += 1.5
    # Three times too sure of itself.
    logits *= 3
    intents = ("a", "b", "c")
    labels = [intents[index] for index in truth]
    found = calibrating.calibration(logits[:3000], intents, labels[:3000])
    best, sure = calibrating.chances(logits[3000:], intents, found)
    right = best == truth[3000:]
    for low in (0.4, 0.6, 0.8):
        within = (sure >= low) & (sure < low + 0.2)
        assert abs(right[within].mean() - sure[within].mean()) < 0.06


def test_heads_that_saw_nothing_out_of_scope_turn_nothing_away(
    device: Device, tmp_path: Path
) -> None:
    rows = [row for row in labelled() if row["intent"] != "out_of_scope"]
    lines(tmp_path / "data" / "train.jsonl", rows)
    lines(tmp_path / "data" / "valid.jsonl", rows[::5])
    made = _trained(tmp_path / "data", tmp_path / "nlu", device)
    assert made.threshold == 0.0
    with opened_bundle(made.path, device.settings, device.base) as understander:
        assert understander.understand("qwertz uiop").intent != "out_of_scope"


def test_intents_with_few_lines_are_also_known_by_their_name() -> None:
    def row(text: str, intent: str) -> Row:
        return Row(1, text, intent, sentiment=None, entities=None, language=None)

    few = [row("where is it", "card_arrival"), row("um", "unclear"), row("rain", "out_of_scope")]
    many = [row(f"fee {number}", "top_up_2") for number in range(40)]
    added = with_names([*few, *many])[len(few) + len(many) :]
    assert [(one.text, one.intent) for one in added] == [("card arrival", "card_arrival")]
    assert with_names([row("?", "17")]) == [row("?", "17")]


def test_an_entity_labelled_by_its_words_is_found_by_them() -> None:
    found = Understanding(
        *("a kettle", "a kettle", "en", "price_query", 0.9, "neutral", 0.9),
        entities=(Entity("product", "P0042", "Kettle", 2, 8),),
    )

    def f1(product: str) -> float:
        entities = frozenset({("product", product)})
        row = Row(1, "a kettle", None, sentiment=None, entities=entities, language=None)
        return metrics([Scored(row, found, None)])["entity_f1"]

    assert (f1("kettle"), f1("p0042"), f1("pan")) == (1.0, 1.0, 0.0)


@pytest.mark.models
def test_a_packs_understanding_is_measured_by_language(tmp_path: Path) -> None:
    rows = [
        {"text": "where is my parcel", "intent": "order_status", "lang": "en"},
        {"text": "我的包裹到哪了", "intent": "order_status", "lang": "zh"},
        {"text": "this is terrible, I am angry", "sentiment": "negative", "lang": "en"},
        {"text": "call me on 2026-05-04", "entities": {"date": "2026-05-04"}, "lang": "en"},
        {"text": "how high is the Eiffel tower", "intent": "out_of_scope", "lang": "en"},
    ]
    data = lines(tmp_path / "d.jsonl", rows)
    card = evaluate_nlu(
        data,
        PACKS_DIR / "retail",
        NluModel(shipped_files(STUDENT_BASE)),
        tmp_path / "cache",
        bars=parse_bars(["intent_accuracy.zh=0.5", "entity_f1.zh=0.5"]),
    )
    assert card.metrics["rows"] == 5
    assert card.metrics["latency_p95_ms"] >= card.metrics["latency_p50_ms"] > 0
    assert {"intent_accuracy.en", "intent_accuracy.zh", "entity_f1"} <= set(card.metrics)
    assert [miss.metric for miss in card.misses()] == ["entity_f1.zh"]


def test_the_command_names_file_and_line_as_json(tmp_path: Path) -> None:
    lines(tmp_path / "train.jsonl", [{"intent": "refund"}])
    arguments = ["train-nlu", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert error["type"] == "DatasetError"
    assert f"{tmp_path}/train.jsonl:1: " in error["message"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"text": "where is it", "intent": "order_statsu"}, "Did you mean 'order_status'?"),
        ({"text": "where is it", "sentiment": "neutrl"}, "Did you mean 'neutral'?"),
        ({"intent": "order_status"}, "The line has no 'text'."),
    ],
)
def test_what_is_measured_on_is_checked_line_by_line(
    tmp_path: Path, line: dict[str, str], said: str
) -> None:
    data = lines(tmp_path / "d.jsonl", [{"text": "hello"}, line])
    card = tmp_path / "card.json"
    arguments = ["evaluate", "nlu", "--data", str(data), "--card", str(card), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert error["message"].startswith(f"{data}:2: ")
    assert said in f"{error['message']} {error['hint']}"
    assert names(tmp_path) == ["d.jsonl"]


def test_a_full_disk_is_one_sentence_and_keeps_what_was_prepared(
    data: Path, tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("converters.train_nlu.write_atomic", full)
    with pytest.raises(StorageError, match="is full"):
        _trained(data, tmp_path / "nlu", device)
    assert names(tmp_path) == [".nlu.partial", "data"]
    assert (tmp_path / ".nlu.partial" / ".states" / "offsets.npy").exists()
