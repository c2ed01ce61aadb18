"""Importance of columns, and tensors that are kept higher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from converter_kit import gguf as toy_gguf
from converter_kit import names
from gguf_kit import text_file, tiny_pair
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import ModelFileError, OptionError
from converters.gguf import read_header
from converters.imatrix import Importance, collect_importance, load_importance
from converters.quantize import kept_types, parse_keep, quantize

MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tiny_pair(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_file(tmp_path_factory.mktemp("text") / "shop.txt")


@pytest.fixture(scope="module")
def made(
    pair: tuple[Path, Path], text: Path, tmp_path_factory: pytest.TempPathFactory
) -> Importance:
    target = tmp_path_factory.mktemp("importance") / "tiny.importance"
    return collect_importance(pair[1], text, target, threads=1)


def watched_in_torch(folder: Path, text: Path) -> dict[str, Any]:
    """Mean squares of what each linear layer multiplies, seen by PyTorch hooks."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = AutoTokenizer.from_pretrained(folder).encode(
        text.read_text("utf-8"), add_special_tokens=False
    )
    sums: dict[str, Any] = {}

    def watch(name: str) -> Any:
        def hook(module: Any, inputs: Any) -> None:
            squares = (inputs[0][0].double() ** 2).sum(dim=0).numpy()
            sums[name] = sums.get(name, 0.0) + squares

        return hook

    for name, module in model.named_modules():
        module.register_forward_pre_hook(watch(name)) if hasattr(module, "weight") else None
    for start in range(0, len(tokens), 512):
        with torch.inference_mode():
            model(torch.tensor([tokens[start : start + 512]]))
    return {name: total / len(tokens) for name, total in sums.items()}


def test_it_is_what_pytorch_sees(pair: tuple[Path, Path], text: Path, made: Importance) -> None:
    wanted = watched_in_torch(pair[0], text)
    found = load_importance(made.path)
    assert made.tensors == len(found)
    for layer in range(2):
        for tensor, module in MODULES.items():
            columns = found[f"blk.{layer}.{tensor}.weight"]
            expected = wanted[f"model.layers.{layer}.{module}"]
            # The key-value cache holds 16 bits.
            np.testing.assert_allclose(columns, expected, rtol=2e-2, atol=1e-6)
    # Tied: the embeddings are the head, and that is what they are multiplied with.
    assert found["token_embd.weight"].shape == found["blk.0.attn_q.weight"].shape


def test_it_moves_the_error_to_where_it_matters_less(
    pair: tuple[Path, Path], made: Importance, tmp_path: Path
) -> None:
    importance = load_importance(made.path)
    plain = quantize(pair[1], tmp_path / "plain.gguf", "Q4_0")
    guided = quantize(pair[1], tmp_path / "guided.gguf", "Q4_0", importance=made.path)
    assert guided.importance == made.sha256
    assert plain.importance == ""
    name = "blk.0.ffn_up.weight"
    exact = weights(pair[1], name)
    plain_error, guided_error = (
        float((importance[name] * (weights(path, name) - exact) ** 2).sum())
        for path in (plain.path, guided.path)
    )
    assert guided_error < 0.95 * plain_error


def weights(path: Path, name: str) -> Any:
    tensor = next(item for item in gguf.GGUFReader(path).tensors if item.name == name)
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def test_the_importance_of_another_model_is_refused(
    pair: tuple[Path, Path], tmp_path: Path, made: Importance
) -> None:
    other = tmp_path / "toy.gguf"
    other.write_bytes(toy_gguf())
    with pytest.raises(OptionError, match="another model"):
        quantize(other, tmp_path / "out.gguf", "Q4_0", importance=made.path)
    with pytest.raises(ModelFileError, match="not an importance matrix"):
        quantize(pair[1], tmp_path / "out.gguf", "Q4_0", importance=pair[0] / "config.json")
    with pytest.raises(ModelFileError, match="not an importance matrix"):
        load_importance(pair[0] / "model.safetensors")
    assert names(tmp_path) == ["toy.gguf"]


def test_importance_is_never_taken_from_a_quantised_model(
    pair: tuple[Path, Path], text: Path, tmp_path: Path
) -> None:
    small = quantize(pair[1], tmp_path / "small.gguf", "Q8_0").path
    with pytest.raises(OptionError, match="quantised already"):
        collect_importance(small, text, tmp_path / "x")
    assert names(tmp_path) == ["small.gguf"]


def test_the_command_collects_and_tells(
    pair: tuple[Path, Path], text: Path, made: Importance, tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "tiny.importance"
    run = CliRunner().invoke(
        app,
        ["importance", str(pair[1]), str(target), "--text", str(text), "--json", "--threads=1"],
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["tokens"] == made.tokens > 100
    assert names(target.parent) == ["tiny.importance"]


def test_tensors_are_kept_higher(pair: tuple[Path, Path], tmp_path: Path) -> None:
    keep = {"blk.0.*": "Q8_0", "*.ffn_down.weight": "F16", "output.weight": "Q6_K"}
    made = quantize(pair[1], tmp_path / "kept.gguf", "Q4_0", keep=keep)
    stored = {tensor.name: tensor.type for tensor in read_header(made.path).tensors}
    assert stored["blk.0.attn_q.weight"] == "Q8_0"
    assert stored["blk.0.ffn_down.weight"] == "Q8_0"
    assert stored["blk.1.ffn_down.weight"] == "F16"
    assert stored["blk.1.attn_q.weight"] == "Q4_0"
    # This model uses its embeddings as its head.
    assert stored["token_embd.weight"] == "Q6_K"
    assert made.kept["blk.1.ffn_down.weight"] == "F16"
    assert stored["blk.0.attn_norm.weight"] == "F32"


@pytest.mark.parametrize(
    ("keep", "reason", "hint"),
    [
        ({"blk.0.attn_k.wieght": "Q8_0"}, "No matrix", "attn_k.weight"),
        ({"blk.*": "Q8_1"}, "cannot be kept", "Q8_0"),
        ({"blk.0.attn_norm.weight": "F16"}, "No matrix", ""),
    ],
)
def test_what_cannot_be_kept_is_named(
    pair: tuple[Path, Path], keep: dict[str, str], reason: str, hint: str
) -> None:
    with pytest.raises(OptionError, match=reason) as caught:
        kept_types(read_header(pair[1]), keep)
    assert hint in caught.value.hint


def test_keep_options_are_read_in_order() -> None:
    assert list(parse_keep(["a.*=q8_0", "a.b=F16", "a.*=Q4_0"]).items()) == [
        ("a.*", "Q8_0"),
        ("a.b", "F16"),
    ]
    for wrong in ("a", "=Q8_0", "a="):
        with pytest.raises(OptionError, match="which tensor"):
            parse_keep([wrong])
