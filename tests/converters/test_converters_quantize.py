"""Quantising: real models shrink, bad ones are refused, and nothing is ever half-written."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from converter_kit import ModelFiles, gguf, names
from tuning_kit import PROGRAM, run
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import ConversionError, ModelFileError, OptionError
from converters.gguf import read_header
from converters.quantize import QuantType, quantize
from edge_runtime.errors import StorageError

SMALL = "smollm2-135m-q4_1"


@pytest.mark.models
@pytest.mark.parametrize(
    ("kind", "tensor_type"),
    [("Q8_0", "Q8_0"), ("Q4_K_M", "Q4_K"), ("Q4_0", "Q4_0"), ("F16", "F16")],
)
def test_a_real_model_is_quantised(
    model_files: ModelFiles, tmp_path: Path, kind: QuantType, tensor_type: str
) -> None:
    source = model_files(SMALL)["model.gguf"]
    steps: list[float] = []
    target = tmp_path / "deep" / "small.gguf"
    made = quantize(source, target, kind, progress=lambda _, share, *more: steps.append(share))
    assert read_header(target).tensor_types.get(tensor_type, 0) > 0
    assert made.size == target.stat().st_size
    assert any("4-bit file and lie on its grid" in note for note in made.notes)
    assert steps == sorted(steps)
    assert steps[-1] > 0.9
    assert names(target.parent) == ["small.gguf"]


@pytest.mark.models
def test_fallbacks_of_k_quants_are_told(model_files: ModelFiles, tmp_path: Path) -> None:
    made = quantize(model_files(SMALL)["model.gguf"], tmp_path / "k.gguf", "Q4_K_M")
    assert any("more bits" in note for note in made.notes)


@pytest.mark.models
def test_ctrl_c_leaves_nothing_behind(model_files: ModelFiles, tmp_path: Path) -> None:
    source = model_files(SMALL)["model.gguf"]
    target = tmp_path / "small.gguf"
    command = [sys.executable, "-c", "from converters.cli import main; main()"]
    command += ["quantize", str(source), str(target), "--type", "Q8_0"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stderr is not None
        assert "quantising" in run.stderr.readline()
        os.killpg(run.pid, signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == 130, rest
    assert "Traceback" not in rest
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gguf()[:-10], "cut short"),
        (pickle.dumps([1.0] * 50), "pickle"),
        (b"\x00" * 500, "not a GGUF"),
        (b"", "not a GGUF"),
    ],
)
def test_bad_models_are_refused_before_llama_cpp_sees_them(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    source = tmp_path / "bad.gguf"
    source.write_bytes(data)
    with pytest.raises(ModelFileError, match=reason):
        quantize(source, tmp_path / "out.gguf", "Q8_0")
    assert names(tmp_path) == ["bad.gguf"]


def test_what_llama_cpp_does_not_know_keeps_the_old_output(tmp_path: Path) -> None:
    source, target = tmp_path / "toy.gguf", tmp_path / "out.gguf"
    source.write_bytes(gguf())
    target.write_bytes(b"the last good one")
    with pytest.raises(ConversionError, match=r"quantising toy\.gguf"):
        quantize(source, target, "Q8_0")
    assert target.read_bytes() == b"the last good one"
    assert names(tmp_path) == ["out.gguf", "toy.gguf"]


def test_a_model_never_overwrites_itself(tmp_path: Path) -> None:
    source = tmp_path / "toy.gguf"
    source.write_bytes(gguf())
    (tmp_path / "same.gguf").hardlink_to(source)
    with pytest.raises(OptionError, match="overwrite"):
        quantize(source, tmp_path / "same.gguf", "Q8_0")


def test_a_full_disk_is_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "toy.gguf"
    source.write_bytes(gguf())
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 0))
    with pytest.raises(StorageError, match="MB free"):
        quantize(source, tmp_path / "out.gguf", "Q8_0")
    assert names(tmp_path) == ["toy.gguf"]


@pytest.mark.models
def test_a_disk_that_fills_up_meanwhile_is_one_sentence(
    model_files: ModelFiles, tmp_path: Path
) -> None:
    out = tmp_path / "small.gguf"
    command = [PROGRAM, "quantize", model_files(SMALL)["model.gguf"], out, "--type", "Q4_0"]
    full = run(command, limit=10_000_000)
    assert full.code == 5
    message = full.told["error"]["message"]
    assert message.startswith("The disk is full while quantising model.gguf: ")
    assert "\n" not in message
    assert names(tmp_path) == []


def test_the_command_suggests_a_type_and_prints_errors_as_json(tmp_path: Path) -> None:
    source = tmp_path / "bad.gguf"
    source.write_bytes(b"nonsense")
    arguments = ["quantize", str(source), str(tmp_path / "out.gguf"), "--json", "--type"]
    typo = CliRunner().invoke(app, [*arguments, "q4_k"])
    assert typo.exit_code == 2
    assert "Q4_K_M" in json.loads(typo.stdout)["error"]["hint"]
    bad = CliRunner().invoke(app, [*arguments, "q8_0"])
    assert bad.exit_code == 3
    assert json.loads(bad.stdout)["error"]["type"] == "ModelFileError"
