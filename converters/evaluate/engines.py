"""Which engine runs a model, told by its files; and what identifies and weighs it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

from converters.errors import ModelFileError
from converters.formats import refuse_pickle
from converters.gguf import read_header
from edge_runtime.bundles.blobs import sha256_of
from edge_runtime.modelfiles import ADAPTER, GGUF

EngineName = Literal["llama", "onnx", "torch"]

_EIGHT: Final = 7.0
_SIXTEEN: Final = 15.0
_BLOCKS: Final = frozenset({"MatMulNBits", "GatherBlockQuantized"})
_EIGHT_BIT_OPERATORS: Final = frozenset(
    {"MatMulInteger", "DynamicQuantizeLinear", "DequantizeLinear"}
)
_PICKLES: Final = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})


def engine_of(model: Path) -> EngineName:
    """``llama`` for a GGUF file or a folder with ``model.gguf`` and an adapter, ``onnx`` for one
    with ``model.onnx``, ``torch`` for a Hugging Face folder.

    Raises:
        ModelFileError: it is none of them.
    """
    if model.is_file() or (model / GGUF).is_file():
        return "llama"
    if (model / "model.onnx").is_file():
        return "onnx"
    if (model / "config.json").is_file():
        return "torch"
    raise ModelFileError(
        f"{model} is no model.",
        hint="Give a GGUF file, a folder with model.onnx, or one with config.json and safetensors.",
    )


def gguf_files(model: Path) -> dict[str, Path]:
    """A GGUF model's files by the names that the runtime gives them."""
    if model.is_file():
        return {GGUF: model}
    names = (GGUF, ADAPTER)
    return {name: model / name for name in names if (model / name).is_file()}


def check_model(model: Path) -> None:
    """Refuse what must not reach an engine: pickles, cut-off files, folders of neither kind.

    Raises:
        ModelFileError: with the reason.
    """
    if engine_of(model) == "llama":
        for file in gguf_files(model).values():
            read_header(file)
        return
    for file in _files(model):
        if file.suffix.lower() in _PICKLES:
            refuse_pickle(file)


def model_size(model: Path) -> int:
    """Bytes that a device has to store."""
    return sum(file.stat().st_size for file in _files(model))


def weight_count(model: Path) -> int:
    """How many weights it holds; 0 where its format does not say."""
    if engine_of(model) == "llama":
        return sum(read_header(file).weights for file in gguf_files(model).values())
    return 0


def stored_bits(model: Path) -> int:
    """The class of a format: 4, 8, or 16 for everything that is not quantised further.

    Told by the mean bits of a weight: llama.cpp stores in 5 or 6 what its 4-bit types cannot hold.
    """
    if engine_of(model) != "llama":
        return _onnx_bits(model / "model.onnx")
    header = read_header(gguf_files(model)[GGUF])
    matrices = [tensor for tensor in header.tensors if tensor.matrix]
    bits = sum(tensor.size for tensor in matrices) * 8 / sum(t.weights for t in matrices)
    return 4 if bits < _EIGHT else 8 if bits < _SIXTEEN else 16


def _onnx_bits(graph: Path) -> int:
    """By the smallest products: heads and word tables in 8 bits stand beside those in 4, and 8-bit
    tables of blocks beside products by channel."""
    if not graph.is_file():
        return 16
    # Imported late: most models are GGUF.
    import onnx

    bits = {16}
    for node in onnx.load(graph, load_external_data=False).graph.node:
        if node.op_type in _BLOCKS:
            bits |= {attribute.i for attribute in node.attribute if attribute.name == "bits"}
        elif node.op_type in _EIGHT_BIT_OPERATORS:
            bits.add(8)
    return min(bits)


def model_digest(model: Path) -> str:
    """sha256 of a file; of a folder, over its files' names and hashes."""
    if model.is_file():
        return sha256_of(model)
    parts = [f"{file.relative_to(model)} {sha256_of(file)}" for file in _files(model)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _files(model: Path) -> list[Path]:
    if model.is_file():
        return [model]
    return sorted(path for path in model.rglob("*") if path.is_file())
