"""Files of the student encoder are hostile input: each is checked before anything runs on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from student_kit import INTENTS, SENTIMENTS, TAGS, heads, write_base, write_task

from edge_runtime.errors import EngineError, ModelCorruptError, ModelMissingError
from edge_runtime.nlu import Encoder, load_task
from edge_runtime.nlu.student import TaskLabels, base_fingerprint


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Path]:
    return write_base(tmp_path / "base")


def test_sound_labels_are_read(base: Mapping[str, Path], tmp_path: Path) -> None:
    files = write_task(tmp_path, base, threshold=0.4, pack="a" * 64)
    task = load_task(files)
    assert task.graph == files["task.onnx"]
    assert task.labels == TaskLabels(
        base_fingerprint(base),
        INTENTS,
        SENTIMENTS,
        TAGS,
        0.4,
        (1.0, 0.0, 0.0, 0.0),
        1.0,
        "a" * 64,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 1),
        ("schema", "2"),
        ("encoder", "e5"),
        ("intents", ["only"]),
        ("intents", ["twice", "twice"]),
        ("intents", ["", "b"]),
        ("intents", "abc"),
        ("sentiments", ["angry", "happy"]),
        ("tags", ["B-colour", "I-colour"]),
        ("tags", ["O", "colour"]),
        ("threshold", 1.5),
        ("threshold", float("nan")),
        ("calibration", [1.0, 2.0]),
        ("calibration", [float("inf"), 0.0, 0.0, 0.0]),
        ("sentiment_temperature", 0.0),
        ("heads", {}),
        ("heads", {"task.onnx": "0" * 64, "../other.onnx": "0" * 64}),
        ("pack", "retail"),
        ("surprise", 1),
    ],
)
def test_wrong_labels_are_named(
    base: Mapping[str, Path], tmp_path: Path, field: str, value: Any
) -> None:
    files = write_task(tmp_path, base, **{field: value})
    with pytest.raises(ModelCorruptError, match=r"labels\.json is wrong at"):
        load_task(files)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{" * 5000, b"null"])
def test_labels_that_are_no_labels_are_refused(
    base: Mapping[str, Path], tmp_path: Path, content: bytes
) -> None:
    files = write_task(tmp_path, base)
    files["labels.json"].write_bytes(content)
    with pytest.raises(ModelCorruptError):
        load_task(files)


def test_missing_and_oversized_files_are_refused(base: Mapping[str, Path], tmp_path: Path) -> None:
    files = write_task(tmp_path, base)
    for name in files:
        with pytest.raises(ModelMissingError, match=name):
            load_task({other: path for other, path in files.items() if other != name})
    files["labels.json"].write_bytes(b" " * (2**20 + 1))
    with pytest.raises(ModelCorruptError, match="larger"):
        load_task(files)


def test_another_graph_than_the_labels_name_is_refused(
    base: Mapping[str, Path], tmp_path: Path
) -> None:
    files = write_task(tmp_path, base)
    files["task.onnx"].write_bytes(heads(factor=2.0))
    with pytest.raises(ModelCorruptError, match="not the graph"):
        load_task(files)


def test_heads_for_another_encoder_are_refused(base: Mapping[str, Path], tmp_path: Path) -> None:
    files = write_task(tmp_path, base, encoder="0" * 64)
    with pytest.raises(ModelCorruptError, match="need the encoder 000000000000") as caught:
        Encoder(base, 1, load_task(files))
    assert "Train them again" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (heads(intents=4), "'intent' does not agree"),
        (heads(sentiments=2), "'sentiment' does not agree"),
        (heads(tags=2), "'entities' does not agree"),
        (heads(tags=0), "lacks the output 'entities'"),
        (heads(extra_input="password"), "other inputs"),
        (heads(factor=float("nan")), "no number"),
        (b"not a graph", "cannot be loaded"),
        (b"", "cannot be loaded"),
    ],
)
def test_graphs_that_do_not_fit_their_labels_are_refused(
    base: Mapping[str, Path], tmp_path: Path, content: bytes, message: str
) -> None:
    task = load_task(write_task(tmp_path, base, content))
    with pytest.raises(EngineError, match=message):
        Encoder(base, 1, task)


@pytest.mark.parametrize("name", ["words.bin", "pieces.npy", "trunk.onnx", "embedding.onnx"])
def test_a_base_that_is_not_whole_is_refused(
    base: dict[str, Path], tmp_path: Path, name: str
) -> None:
    base[name].write_bytes(base[name].read_bytes()[:60])
    with pytest.raises((ModelCorruptError, EngineError)):
        Encoder(base, 1)
    base[name].unlink()
    with pytest.raises((ModelMissingError, ModelCorruptError)):
        Encoder(base, 1)


def test_swapped_graphs_are_refused(base: dict[str, Path], tmp_path: Path) -> None:
    swapped = {**base, "trunk.onnx": base["embedding.onnx"], "embedding.onnx": base["trunk.onnx"]}
    with pytest.raises(EngineError):
        Encoder(swapped, 1)


def test_an_index_without_an_end_is_refused(base: dict[str, Path], tmp_path: Path) -> None:
    table = np.load(base["pieces.npy"])
    np.save(base["pieces.npy"], np.zeros_like(table))
    with pytest.raises(ModelCorruptError, match="another vocabulary"):
        Encoder(base, 1)


def test_labels_survive_the_trip_through_json(base: Mapping[str, Path], tmp_path: Path) -> None:
    files = write_task(tmp_path, base, intents=["out_of_scope", "退货", "wo_ist"])
    text = files["labels.json"].read_text()
    files["labels.json"].write_text(json.dumps(json.loads(text), ensure_ascii=False))
    assert load_task(files).labels.intents[1] == "退货"
