"""Measuring language models against a reference on the same text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from converter_kit import ModelFiles, gguf
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import ConversionError, DatasetError
from converters.evaluate.llm import Conditions, evaluate_llm
from converters.quantize import quantize
from edge_runtime.bundles.blobs import sha256_of

SMALL = "smollm2-135m-q4_1"
TEXT = (
    "Goods may be returned within fourteen days if the packaging is whole. Food cannot be "
    "returned. The repair of a kettle takes about five working days, and a loan is possible."
)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "shop.txt"
    path.write_text(TEXT)
    return path


@pytest.mark.models
def test_a_model_does_not_differ_from_itself(model_files: ModelFiles, text: Path) -> None:
    model = model_files(SMALL)["model.gguf"]
    card = evaluate_llm(model, Conditions(text, threads=1), reference=model, bars={}).card
    assert card.subject == sha256_of(model)
    assert card.metrics["mean_kl"] < 1e-6
    assert card.metrics["top1_agreement"] == 1
    assert 1 < card.metrics["perplexity"] < 1000
    assert card.metrics["size_mb"] == pytest.approx(98.4, abs=0.1)
    assert card.metrics["peak_memory_mb"] > 100


@pytest.mark.models
def test_fewer_bits_differ_more_and_miss_a_bar(
    model_files: ModelFiles, text: Path, tmp_path: Path
) -> None:
    model = model_files(SMALL)["model.gguf"]
    near = quantize(model, tmp_path / "near.gguf", "Q8_0").path
    far = quantize(model, tmp_path / "far.gguf", "Q4_0").path
    bars = ["--bar", "mean_kl=0.05"]
    shared = ["--text", str(text), "--reference", str(model), "--json", "--threads", "1", *bars]
    card = tmp_path / "far.card.json"
    fine = CliRunner().invoke(app, ["evaluate", "llm", str(near), *shared])
    refused = CliRunner().invoke(app, ["evaluate", "llm", str(far), *shared, "--card", str(card)])
    assert fine.exit_code == 0, fine.output
    assert refused.exit_code == 8
    found, worse = json.loads(fine.stdout), json.loads(refused.stdout)
    assert 0 < found["metrics"]["mean_kl"] < worse["metrics"]["mean_kl"]
    assert found["machine"]
    assert worse["misses"][0].startswith("mean_kl is")
    assert "Refused" in card.with_suffix(".md").read_text()


def test_text_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    model = tmp_path / "toy.gguf"
    model.write_bytes(gguf())
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"fine\n\xff\n")
    with pytest.raises(DatasetError, match=r"broken\.txt:2"):
        evaluate_llm(model, Conditions(broken), bars={})
    broken.write_bytes(b" \n")
    with pytest.raises(DatasetError, match="empty"):
        evaluate_llm(model, Conditions(broken), bars={})


def test_a_sound_file_of_no_known_model_is_one_sentence(tmp_path: Path, text: Path) -> None:
    model = tmp_path / "toy.gguf"
    model.write_bytes(gguf())
    with pytest.raises(ConversionError, match="cannot load"):
        evaluate_llm(model, Conditions(text), bars={})


@pytest.mark.models
def test_models_of_different_vocabularies_are_not_compared(
    model_files: ModelFiles, text: Path
) -> None:
    small = model_files(SMALL)["model.gguf"]
    other = model_files("qwen2.5-coder-0.5b-q4_k_m")["model.gguf"]
    with pytest.raises(ConversionError, match="different vocabularies"):
        evaluate_llm(small, Conditions(text, threads=1), reference=other, bars={})
