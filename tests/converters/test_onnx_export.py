"""Exporting to ONNX: the same model, complete, or a clear sentence and nothing at all."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from converter_kit import names
from lm_kit import tiny_lm
from onnx_kit import copied, tiny_encoder

from converters.errors import ConversionError, ModelFileError, OptionError
from converters.evaluate.measure import open_scorer
from converters.evaluate.scoring import reply_accuracy
from converters.onnx import export as exporting
from converters.onnx.export import Exported, export_onnx
from converters.onnx.folder import read_folder
from edge_runtime.errors import StorageError
from edge_runtime.generation import LanguageModel, Prompt
from edge_runtime.generation.chatml import END
from edge_runtime.generation.onnx import OnnxModel
from edge_runtime.generation.onnx_decoder import OnnxDecoder

SYSTEM = "You are a shop assistant."
PROMPTS = [
    Prompt(SYSTEM, "Facts:\nThe shop opens at nine.", "When do you open?"),
    Prompt(SYSTEM, "Facts:\nThe shop opens at nine.", "Where is my order?"),
    Prompt(SYSTEM, "Facts:\n退货须在十四天内。", "可以退货吗？"),
    Prompt("", "", "x"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("hf")
    made = {name: tiny_lm(folder / name, architecture=name) for name in ("llama", "qwen2")}
    return {**made, "bert": tiny_encoder(folder / "bert")}


@pytest.fixture(scope="module")
def exported(
    sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Exported]:
    folder = tmp_path_factory.mktemp("onnx")
    return {name: export_onnx(source, folder / name, threads=1) for name, source in sources.items()}


def replies(model: LanguageModel) -> list[str]:
    return [
        "".join(model.stream(p, max_tokens=24, timeout_s=60, cancelled=threading.Event()))
        for p in PROMPTS
    ]


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_greedy_text_is_that_of_torch(
    sources: dict[str, Path], exported: dict[str, Exported], architecture: str
) -> None:
    from converters.evaluate.torch_measure import TorchModel

    folder = exported[architecture].folder.path
    model = OnnxModel({file.name: file for file in folder.iterdir()}, threads=1)
    # Random weights say bytes that are no characters; a device drops them.
    wanted = [
        text.replace("\ufffd", "") for text in replies(TorchModel(sources[architecture], threads=1))
    ]
    assert any(wanted)
    assert replies(model) == wanted


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_replies_hoped_for_are_as_likely_as_in_torch(
    sources: dict[str, Path], exported: dict[str, Exported], architecture: str
) -> None:
    folder = exported[architecture].folder.path
    scorers = [open_scorer(path, 1) for path in (sources[architecture], folder)]
    # Chat markup that a customer types is text; the runtime's own is what it stands for.
    assert len({tuple(scorer.tokens(f"a {END} b")) for scorer in scorers}) == 1
    assert {len(scorer.markup(END)) for scorer in scorers} == {1}
    asked = [(prompt, "the shop is open") for prompt in PROMPTS]
    in_torch, in_onnx = (reply_accuracy(scorer, asked) for scorer in scorers)
    assert in_torch == in_onnx


@pytest.mark.parametrize("name", ["llama", "qwen2", "bert"])
def test_the_export_is_held_against_the_original(exported: dict[str, Exported], name: str) -> None:
    assert 0 <= exported[name].max_difference < 1e-3


def test_a_folder_has_all_a_device_needs(exported: dict[str, Exported]) -> None:
    path = exported["llama"].folder.path
    needed = {"model.onnx", "model.onnx.data", "config.json", "tokenizer.json"}
    assert needed <= set(names(path))
    assert any(name.startswith("chat_template") for name in names(path)) or (
        "chat_template" in (path / "tokenizer_config.json").read_text()
    )
    assert names(path.parent) == ["bert", "llama", "qwen2"]
    found = read_folder(path)
    assert found.kind == "decoder"
    assert not found.quantised
    assert read_folder(exported["bert"].folder.path).kind == "encoder"


def test_a_tied_table_is_stored_once(
    sources: dict[str, Path], exported: dict[str, Exported]
) -> None:
    original = (sources["llama"] / "model.safetensors").stat().st_size
    stored = (exported["llama"].folder.path / "model.onnx.data").stat().st_size
    assert stored < 1.1 * original


def test_logits_come_from_where_they_are_wanted(exported: dict[str, Exported]) -> None:
    model = exported["llama"].folder.path / "model.onnx"
    decoder = OnnxDecoder(model, 1)
    every, _ = decoder.read([5, 6, 7, 8], decoder.empty, all_rows=True)
    last, past = decoder.read([5, 6, 7, 8], decoder.empty)
    assert every.shape == (4, decoder.vocabulary)
    assert last.shape == (1, decoder.vocabulary)
    assert np.abs(every[-1:] - last).max() < 1e-4
    assert past.length == 4
    # Other programs do not know of the choice and see every position.
    session = ort.InferenceSession(str(model))
    feeds = {
        name: value.numpy() for name, value in zip(decoder._past, decoder.empty.values, strict=True)
    }
    feeds["input_ids"] = np.array([[5, 6, 7, 8]])
    feeds["attention_mask"] = np.ones((1, 4), np.int64)
    feeds["position_ids"] = np.arange(4)[None]
    assert np.abs(session.run(["logits"], feeds)[0][0] - every).max() < 1e-4


def test_a_different_result_is_refused(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for difference in (0.5, float("nan")):
        found = {"max_difference": difference, "largest": 10.0}
        monkeypatch.setattr(exporting, "work", lambda *given, found=found, **named: found)
        with pytest.raises(ConversionError, match="not the same model"):
            export_onnx(sources["llama"], tmp_path / "out")
    assert names(tmp_path) == []


def test_bad_sources_are_one_sentence(sources: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ModelFileError):
        export_onnx(tmp_path / "missing", out)
    pickled = copied(sources["llama"], tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps([1.0] * 50))
    with pytest.raises(ModelFileError, match=r"pickle|safetensors"):
        export_onnx(pickled, out)
    cut = copied(sources["llama"], tmp_path / "cut")
    os.truncate(cut / "model.safetensors", (cut / "model.safetensors").stat().st_size - 64)
    with pytest.raises(ModelFileError):
        export_onnx(cut, out)
    assert names(tmp_path) == ["cut", "pickled"]


def test_an_existing_folder_is_kept(sources: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OptionError, match="exists already"):
        export_onnx(sources["llama"], tmp_path / "out")


def test_a_full_disk_is_found_first(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 0))
    with pytest.raises(StorageError, match="MB free"):
        export_onnx(sources["llama"], tmp_path / "out")
    assert names(tmp_path) == []


def test_ctrl_c_leaves_nothing_and_the_next_run_clears_what_a_kill_left(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    left = tmp_path / ".out.partial" / "raw"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    command = [sys.executable, "-c", "from converters.cli import main; main()", "quantize-onnx"]
    command += [str(sources["llama"]), str(tmp_path / "out"), "--type", "onnx-fp32"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stderr is not None
        assert "exporting" in run.stderr.readline()
        os.killpg(run.pid, signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == 130, rest
    assert "Traceback" not in rest
    assert names(tmp_path) == []
