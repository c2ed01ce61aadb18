"""Quantising ONNX folders: smaller, near the original, and never half-written."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from converter_kit import names
from lm_kit import tiny_lm
from onnx_kit import TEXT, copied, tiny_encoder
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import ConversionError, DatasetError, ModelFileError, OptionError
from converters.evaluate.engines import stored_bits
from converters.evaluate.llm import Conditions, evaluate_llm
from converters.onnx.export import export_onnx
from converters.onnx.folder import read_folder
from converters.onnx.quantize import OnnxType, QuantizedOnnx, quantize_onnx
from edge_runtime.generation.onnx_decoder import OnnxDecoder

SMALLER: tuple[OnnxType, ...] = ("onnx-int8", "onnx-int8-static", "onnx-int8-block", "onnx-int4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def text(folder: Path) -> Path:
    path = folder / "shop.txt"
    path.write_text(TEXT * 8)
    return path


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    return export_onnx(tiny_lm(folder / "hf"), folder / "whole", threads=1).folder.path


@pytest.fixture(scope="module")
def made(folder: Path, whole: Path, text: Path) -> dict[str, QuantizedOnnx]:
    return {
        kind: quantize_onnx(
            whole, folder / kind, kind, text=text if kind != "onnx-int8" else None, threads=1
        )
        for kind in SMALLER
    }


def logits(folder: Path) -> npt.NDArray[np.float32]:
    decoder = OnnxDecoder(folder / "model.onnx", 1)
    return decoder.read(list(range(5, 45)), decoder.empty, all_rows=True)[0]


def likeness(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("onnx-int8", 0.99),
        ("onnx-int8-static", 0.9),
        ("onnx-int8-block", 0.998),
        ("onnx-int4", 0.9),
    ],
)
def test_fewer_bits_say_nearly_the_same(
    whole: Path, made: dict[str, QuantizedOnnx], kind: str, least: float
) -> None:
    assert likeness(logits(whole), logits(made[kind].folder.path)) > least


def test_fewer_bits_take_less_room(whole: Path, made: dict[str, QuantizedOnnx]) -> None:
    data = {kind: (made[kind].folder.path / "model.onnx.data").stat().st_size for kind in SMALLER}
    original = (whole / "model.onnx.data").stat().st_size
    assert data["onnx-int4"] < data["onnx-int8-block"] < 0.4 * original
    assert max(data.values()) < 0.45 * original
    assert made["onnx-int4"].source_size == read_folder(whole).size


def test_a_type_is_held_to_the_loss_of_its_bits(
    whole: Path, made: dict[str, QuantizedOnnx]
) -> None:
    # The word tables of the 8-bit types are blocks like those of 4 bits.
    found = {kind: stored_bits(one.folder.path) for kind, one in made.items()}
    assert found == {kind: 4 if kind == "onnx-int4" else 8 for kind in made}
    assert stored_bits(whole) == 16


def test_the_tied_head_is_quantised_and_stored_once(made: dict[str, QuantizedOnnx]) -> None:
    for result in made.values():
        model = onnx.load(result.folder.path / "model.onnx")
        nodes = list(model.graph.node)
        head = next(node for node in nodes if "logits" in node.output)
        lookup = next(node for node in nodes if node.op_type == "GatherBlockQuantized")
        assert head.op_type == "MatMulNBits"
        assert head.input[1] == lookup.input[0]
        table = next(item for item in model.graph.initializer if item.name == head.input[1])
        vocabulary = table.dims[0]
        assert table.data_type == onnx.TensorProto.UINT8
        large = [item for item in model.graph.initializer if vocabulary in item.dims]
        floats = [item for item in large if item.data_type == onnx.TensorProto.FLOAT]
        assert [item.name for item in large if item not in floats] == [table.name]
        assert all(np.prod(item.dims) < np.prod(table.dims) / 8 for item in floats)


def test_the_cache_is_that_of_the_original(whole: Path, made: dict[str, QuantizedOnnx]) -> None:
    decoder = OnnxDecoder(made["onnx-int4"].folder.path / "model.onnx", 1)
    together, _ = decoder.read([5, 6, 7, 8], decoder.empty)
    _, past = decoder.read([5, 6], decoder.empty)
    apart, past = decoder.read([7, 8], past)
    assert past.length == 4
    assert likeness(together, apart) > 0.999


def test_what_is_kept_stays_at_eight_bits(whole: Path, text: Path, tmp_path: Path) -> None:
    kept = quantize_onnx(whole, tmp_path / "kept", "onnx-int4", keep=["down_proj"], threads=1)
    model = onnx.load(kept.folder.path / "model.onnx")
    bits = {
        node.name: next(a.i for a in node.attribute if a.name == "bits")
        for node in model.graph.node
        if node.op_type == "MatMulNBits"
    }
    assert {value for name, value in bits.items() if "down_proj" in name} == {8}
    assert {value for name, value in bits.items() if "v_proj" in name} == {4}


def test_the_text_changes_how_four_bits_are_chosen(
    whole: Path, made: dict[str, QuantizedOnnx], tmp_path: Path
) -> None:
    blind = quantize_onnx(whole, tmp_path / "blind", "onnx-int4", threads=1)
    data = [result.folder.path / "model.onnx.data" for result in (blind, made["onnx-int4"])]
    assert data[0].read_bytes() != data[1].read_bytes()
    assert data[0].stat().st_size == data[1].stat().st_size


def test_quantising_is_reproducible(whole: Path, text: Path, tmp_path: Path) -> None:
    first, second = (
        quantize_onnx(whole, tmp_path / name, "onnx-int4", text=text, threads=1).folder.path
        for name in ("one", "two")
    )
    assert names(first) == names(second)
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names(first))


@pytest.mark.parametrize("kind", ["onnx-int8", "onnx-int8-static", "onnx-int4"])
def test_encoders_are_quantised_too(
    folder: Path, text: Path, tmp_path: Path, kind: OnnxType
) -> None:
    source = folder / "encoder"
    if not source.exists():
        export_onnx(tiny_encoder(folder / "bert"), source, threads=1)
    result = quantize_onnx(source, tmp_path / "small", kind, text=text, threads=1)
    tokens = np.arange(5, 25, dtype=np.int64)[None]
    feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    feeds["token_type_ids"] = np.zeros_like(tokens)
    found = [
        ort.InferenceSession(str(path / "model.onnx")).run(["last_hidden_state"], feeds)[0]
        for path in (source, result.folder.path)
    ]
    assert result.folder.kind == "encoder"
    least = 0.9 if kind == "onnx-int4" else 0.98
    assert likeness(*found) > least
    data = [(path / "model.onnx.data").stat().st_size for path in (source, result.folder.path)]
    assert data[1] < 0.4 * data[0]


def test_measuring_tells_the_types_apart(
    whole: Path, made: dict[str, QuantizedOnnx], text: Path
) -> None:
    conditions = Conditions(text, max_tokens=256, threads=1)
    cards = [
        evaluate_llm(path, conditions, reference=whole, bars={}).card.metrics
        for path in (whole, made["onnx-int8-block"].folder.path, made["onnx-int4"].folder.path)
    ]
    same, eight, four = (card["mean_kl"] for card in cards)
    assert same < 1e-6 < eight < four
    assert cards[0]["top1_agreement"] == 1
    assert cards[0]["size_mb"] > cards[1]["size_mb"] > cards[2]["size_mb"]
    assert all(card["tokens_per_s"] > 0 and card["peak_memory_mb"] > 10 for card in cards)


def test_a_folder_of_hugging_face_is_exported_on_the_way(folder: Path, tmp_path: Path) -> None:
    result = quantize_onnx(folder / "hf", tmp_path / "small", "onnx-int8-block", threads=1)
    assert result.max_difference is not None
    assert names(tmp_path) == ["small"]
    assert result.products.keys() == {"MatMulNBits"}


def test_damaged_folders_are_refused(whole: Path, tmp_path: Path) -> None:
    def refused(name: str, reason: str) -> None:
        with pytest.raises(ModelFileError, match=reason):
            quantize_onnx(tmp_path / name, tmp_path / "out", "onnx-int4")

    cut = copied(whole, tmp_path / "cut")
    os.truncate(cut / "model.onnx.data", 1000)
    refused("cut", "cut short")
    lost = copied(whole, tmp_path / "lost")
    (lost / "model.onnx.data").unlink()
    refused("lost", "not beside it")
    noise = copied(whole, tmp_path / "noise")
    (noise / "model.onnx").write_bytes(b"\xff" * 500)
    refused("noise", "no ONNX file")
    (noise / "model.onnx").write_bytes(b"")
    refused("noise", "no ONNX file|no graph")
    pickled = copied(whole, tmp_path / "pickled")
    (pickled / "model.onnx").write_bytes(pickle.dumps([1.0] * 50))
    refused("pickled", "pickle")
    outside = copied(whole, tmp_path / "outside")
    model = onnx.load(outside / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../whole/model.onnx.data"
    (outside / "model.onnx").write_bytes(model.SerializeToString())
    refused("outside", "not beside it|no ONNX file")
    assert names(tmp_path) == ["cut", "lost", "noise", "outside", "pickled"]


def test_what_is_quantised_is_not_quantised_again(
    made: dict[str, QuantizedOnnx], tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="quantised already"):
        quantize_onnx(made["onnx-int4"].folder.path, tmp_path / "out", "onnx-int8")
    assert names(tmp_path) == []


def test_text_is_asked_for_and_checked(whole: Path, tmp_path: Path) -> None:
    out, broken = tmp_path / "out", tmp_path / "broken.txt"
    with pytest.raises(OptionError, match="there is none"):
        quantize_onnx(whole, out, "onnx-int8-static")
    broken.write_bytes(b"fine\n\xff\n")
    with pytest.raises(DatasetError, match=r"broken\.txt:2"):
        quantize_onnx(whole, out, "onnx-int8-static", text=broken)
    broken.write_text("too short")
    with pytest.raises(ConversionError, match="tokens"):
        quantize_onnx(whole, out, "onnx-int8-static", text=broken)
    assert names(tmp_path) == ["broken.txt"]


def test_the_command_suggests_a_type_and_prints_json(whole: Path, tmp_path: Path) -> None:
    arguments = ["quantize-onnx", str(whole), str(tmp_path / "out"), "--json", "--threads", "1"]
    typo = CliRunner().invoke(app, [*arguments, "--type", "onnx-int-4"])
    assert typo.exit_code == 2
    assert "onnx-int4" in json.loads(typo.stdout)["error"]["hint"]
    kept = CliRunner().invoke(app, [*arguments, "--type", "onnx-int8", "--keep", "x"])
    assert kept.exit_code == 2
    fine = CliRunner().invoke(app, [*arguments, "--type", "onnx-int8-block"])
    found = json.loads(fine.stdout)
    assert fine.exit_code == 0, fine.output
    assert found["size"] < found["source_size"]
    assert found["kind"] == "decoder"
