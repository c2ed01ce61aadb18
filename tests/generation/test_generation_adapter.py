"""A language model with a LoRA adapter beside it, as adapter-only updates bring it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest

from edge_runtime.errors import EngineError
from edge_runtime.generation import Prompt
from edge_runtime.generation.llama import LlamaModel
from edge_runtime.generation.registry import load_language_model

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("smollm2")]

ModelFiles = Callable[[str], Mapping[str, Path]]
PROMPT = Prompt("Answer in one sentence.", "The shop opens at 9.", "When do you open?")
WIDTH = 576


@pytest.fixture(scope="module")
def files(model_files: ModelFiles) -> Mapping[str, Path]:
    return model_files("smollm2-135m-q4_1")


def adapter(path: Path, strength: float) -> Path:
    """An adapter of rank 4 that moves the queries of the first blocks."""
    chance = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 4.0)
    for block in range(4):
        name = f"blk.{block}.attn_q.weight"
        down, up = chance.normal(size=(4, WIDTH)), chance.normal(size=(WIDTH, 4)) * strength
        writer.add_tensor(f"{name}.lora_a", down.astype(np.float32))
        writer.add_tensor(f"{name}.lora_b", up.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def answer(files: Mapping[str, Path]) -> str:
    model = load_language_model(files, threads=1)
    try:
        pieces = model.stream(PROMPT, max_tokens=16, timeout_s=60, cancelled=threading.Event())
        return "".join(pieces)
    finally:
        model.close()


def test_an_adapter_changes_what_its_model_says(files: Mapping[str, Path], tmp_path: Path) -> None:
    plain = answer(files)
    silent = answer({**files, "adapter.gguf": adapter(tmp_path / "none.gguf", 0.0)})
    loud = answer({**files, "adapter.gguf": adapter(tmp_path / "strong.gguf", 2.0)})
    assert silent == plain
    assert loud != plain


def test_a_file_that_is_no_adapter_is_refused(files: Mapping[str, Path], tmp_path: Path) -> None:
    wrong = tmp_path / "adapter.gguf"
    wrong.write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(EngineError):
        LlamaModel({**files, "adapter.gguf": wrong}, threads=1)
