"""Training classifiers from labelled lines, and measuring a pack's understanding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from converter_kit import ModelFiles, WordEncoder, labelled, lines, names
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import DatasetError, OptionError
from converters.evaluate.cards import parse_bars, read_card
from converters.evaluate.nlu import evaluate_nlu
from converters.train_nlu import read_splits, train_nlu
from edge_runtime.bundles.blobs import check_file, sha256_of
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.config import PACKS_DIR
from edge_runtime.nlu.heads import load_intents, load_sentiment
from edge_runtime.nlu.intents import IntentClassifier


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    lines(folder / "train.jsonl", labelled(outside="oos"))
    endings = (" anyway", " friend")
    lines(folder / "valid.jsonl", labelled(outside="oos", endings=endings))
    lines(folder / "test.jsonl", labelled(outside="oos", endings=(" quickly",)))
    return folder


def test_training_writes_verified_files_and_a_card(data: Path, tmp_path: Path) -> None:
    bars = parse_bars(["in_scope_accuracy=0.8"])
    out = tmp_path / "nlu"
    made = train_nlu(data, out, WordEncoder(), bars=bars, outside="oos")
    manifest = BundleManifest.from_json((out / "manifest.json").read_bytes())
    assert manifest.digest == made.digest
    for component in manifest.components:
        path = out / "files" / component.name
        check_file(path, component.size, component.sha256, label=component.name)
    labels = json.loads((out / "files" / "labels.json").read_text())
    assert labels["encoder"] == "words-1"
    assert labels["threshold"] == made.threshold <= 0.5
    assert labels["intents"] == ["opening_hours", "order_status", "out_of_scope", "refund"]
    assert labels["sentiments"] == ["negative", "neutral"]
    card = read_card(out / "card.json")
    assert card == made.card
    assert card.subject == sha256_of(out / "files" / "labels.json")
    assert card.misses() == ()
    assert "test.jsonl" in card.dataset
    measured = {"in_scope_argmax", "out_of_scope_recall", "intent_ece", "sentiment_macro_f1"}
    assert measured <= set(card.metrics)


def test_the_heads_are_read_by_the_assistants_own_loader(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "nlu"
    train_nlu(data, out, WordEncoder(), bars={}, outside="oos")
    head = load_intents((out / "files" / "intents.npz").read_bytes())
    load_sentiment((out / "files" / "sentiment.npz").read_bytes())
    (found,) = IntentClassifier(head).classify(WordEncoder().encode(["where is my order"], "query"))
    assert found.candidates[0][0] == "order_status"


def test_training_twice_gives_the_same_bundle(data: Path, tmp_path: Path) -> None:
    made = [
        train_nlu(data, tmp_path / folder / "nlu", WordEncoder(), bars={}, outside="oos")
        for folder in ("a", "b")
    ]
    assert made[0].digest == made[1].digest
    assert made[0].card.to_json() == made[1].card.to_json()


def test_without_test_lines_some_are_held_out(data: Path) -> None:
    both = read_splits(data, outside="oos")
    assert len(both.test) < len(both.valid)
    (data / "test.jsonl").unlink()
    assert "also set the threshold" in read_splits(data, outside="oos").measured_on
    (data / "valid.jsonl").unlink()
    alone = read_splits(data, outside="oos")
    assert len(alone.test) > 5
    assert {row.line for row in alone.test}.isdisjoint(row.line for row in alone.train)


def test_a_line_without_text_or_intent_stops_training(data: Path, tmp_path: Path) -> None:
    train = data / "train.jsonl"
    whole = train.read_text()
    for bad in ('{"intent": "refund"}', '{"text": "hello"}', '{"text": "\\u200b", "intent": "x"}'):
        train.write_text(whole + bad + "\n")
        line = whole.count("\n") + 1
        with pytest.raises(DatasetError, match=rf"train\.jsonl:{line}: "):
            train_nlu(data, tmp_path / "nlu", WordEncoder(), bars={}, outside="oos")
    assert names(tmp_path) == ["data"]


def test_an_intent_of_the_test_lines_must_be_trained(data: Path, tmp_path: Path) -> None:
    lines(data / "test.jsonl", [{"text": "money", "intent": "refnd"}])
    with pytest.raises(DatasetError, match=r"test\.jsonl:1") as caught:
        train_nlu(data, tmp_path / "nlu", WordEncoder(), bars={}, outside="oos")
    assert caught.value.hint == "Did you mean 'refund'?"


def test_an_existing_folder_is_not_touched(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "nlu"
    out.mkdir()
    with pytest.raises(OptionError, match="exists already"):
        train_nlu(data, out, WordEncoder(), bars={}, outside="oos")


class _Interrupted(WordEncoder):
    def encode(self, texts, kind):  # type: ignore[no-untyped-def]
        if "quickly" in texts[0]:
            raise KeyboardInterrupt
        return super().encode(texts, kind)


def test_ctrl_c_while_measuring_leaves_nothing(data: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_nlu(data, tmp_path / "nlu", _Interrupted(), bars={}, outside="oos")
    assert names(tmp_path) == ["data"]


def test_doubtful_requests_are_turned_away_at_the_stated_cost(data: Path, tmp_path: Path) -> None:
    strict = train_nlu(
        data, tmp_path / "s", WordEncoder(), bars={}, outside="oos", rejection_cost=0.0
    )
    loose = train_nlu(
        data, tmp_path / "l", WordEncoder(), bars={}, outside="oos", rejection_cost=0.5
    )
    assert strict.threshold <= loose.threshold
    assert np.isfinite(strict.threshold)


@pytest.mark.models
def test_a_packs_understanding_is_measured_by_language(
    model_files: ModelFiles, tmp_path: Path
) -> None:
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
        model_files("multilingual-e5-small-q4"),
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
    "command", ["quantize", "evaluate llm", "evaluate nlu", "train-nlu", "bundle"]
)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"edge-convert {command}" in result.stdout
    assert "--json" in result.stdout
