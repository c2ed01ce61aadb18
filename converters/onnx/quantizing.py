"""What the child process does to quantise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort  # type: ignore[import-untyped]
from onnxruntime.quantization import (  # type: ignore[import-untyped]
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from converters.onnx.blocks import to_blocks
from converters.onnx.calibration import TextReader, importance
from converters.onnx.folder import MODEL, read_graph, write_graph
from converters.onnx.graph import (
    MICROSOFT,
    matrix_of,
    products,
    prune,
    shrink_tables,
    store_product,
)


def quantize(job: Mapping[str, Any]) -> dict[str, Any]:
    """Quantise the ONNX folder ``source`` into ``target`` as ``kind``."""
    ort.set_default_logger_severity(3)
    source, target, kind = Path(job["source"]), Path(job["target"]), str(job["kind"])
    scratch = target / "scratch" / "quantising"
    scratch.mkdir(parents=True)
    model = read_graph(source / MODEL)
    model.opset_imports.setdefault(MICROSOFT, 1)
    shrink_tables(model)
    _step(1)
    stored = products(model.graph)
    if kind == "onnx-int4":
        eight = [name for name in stored if any(part in name for part in job["keep"])]
        watched: Mapping[str, Any] = {}
        if job["text"]:
            watched = importance(source, Path(job["text"]), scratch, threads=job["threads"])
        _store(model.graph, eight, 8, {})
        _store(model.graph, stored.keys() - set(eight), 4, watched)
    elif kind == "onnx-int8-block":
        _store(model.graph, stored, 8, {})
    else:
        _store(model.graph, _gated(model.graph), 8, {})
        write_graph(model, scratch)
        model = _channels(scratch, source, job)
    prune(model)
    _step(2)
    write_graph(model, target)
    _step(3)
    return {}


def _store(graph: ir.Graph, names: Iterable[str], bits: int, watched: Mapping[str, Any]) -> None:
    """Store the products ``names`` in blocks of ``bits`` bits."""
    found = products(graph)
    for name in sorted(names):
        weight = found[name].inputs[1]
        if weight is None:
            continue
        rows = np.ascontiguousarray(matrix_of(weight).T)
        blocks = to_blocks(rows, bits, importance=watched.get(name))
        store_product(graph, found[name], blocks, rows.shape[1])


def _gated(graph: ir.Graph) -> list[str]:
    """Products that follow a gate: the elementwise product of two activations."""
    found = []
    for name, node in products(graph).items():
        gate = node.inputs[0].producer() if node.inputs[0] is not None else None
        if gate is not None and gate.op_type == "Mul":
            factors = [value.producer() if value is not None else None for value in gate.inputs]
            if all(factor is not None and factor.op_type != "Constant" for factor in factors):
                found.append(name)
    return found


def _channels(given: Path, source: Path, job: Mapping[str, Any]) -> ir.Model:
    """The model in ``given`` with its remaining products in 8 bits, a scale a channel."""
    made = given / "made.onnx"
    shared: dict[str, Any] = {
        "op_types_to_quantize": ["MatMul"],
        "per_channel": True,
        "weight_type": QuantType.QInt8,
        "use_external_data_format": True,
    }
    # What a contributed operator makes has no type that ONNX itself could infer.
    types = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    if job["kind"] == "onnx-int8":
        quantize_dynamic(given / MODEL, made, extra_options=types, **shared)
    else:
        quantize_static(
            given / MODEL,
            made,
            TextReader(source, Path(job["text"])),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            extra_options={"MatMulConstBOnly": True, **types},
            **shared,
        )
    return read_graph(made)


def _step(done: int) -> None:
    sys.stderr.write(f"[{done}/3]\n")
    sys.stderr.flush()
