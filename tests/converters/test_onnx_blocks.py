"""Blocks of few bits: near the numbers they stand for, and read as they are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from converters.errors import ModelFileError
from converters.onnx.blocks import Blocks, to_blocks
from converters.onnx.graph import MICROSOFT, find_head, products, shrink_tables, store_product

Matrix = npt.NDArray[np.float32]
MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 100)),
    elements=st.floats(-1000, 1000, width=32),
)


def restored(blocks: Blocks, columns: int) -> Matrix:
    values = blocks.values
    if blocks.bits == 4:
        values = np.stack([values & 15, values >> 4], axis=-1).reshape(*values.shape[:2], -1)
    steps = values.astype(np.float32) - 2 ** (blocks.bits - 1)
    rows: Matrix = (steps * blocks.scales[:, :, None]).reshape(len(values), -1)
    return rows[:, :columns]


def weights(rows: int, columns: int) -> Matrix:
    return np.random.default_rng(1).normal(size=(rows, columns)).astype(np.float32)


def value(name: str, dtype: ir.DataType, shape: Sequence[int | str]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


def stored(name: str, numbers: npt.NDArray[Any]) -> ir.Value:
    tensor = ir.tensor(numbers, name=name)
    return ir.Value(
        name=name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(numbers.shape),
        const_value=tensor,
    )


def small_model(table: Matrix, head: Matrix | None) -> ir.Model:
    """Token ids → rows of the table → products with the head (the table itself where ``None``)."""
    tokens = value("input_ids", ir.DataType.INT64, ["batch", "length"])
    embedding = stored("embedding", table)
    rows = ir.node("Gather", [embedding, tokens], name="lookup")
    inner = stored("inner", weights(table.shape[1], table.shape[1]))
    hidden = ir.node("MatMul", [rows.outputs[0], inner], name="layer")
    nodes, initializers = [rows, hidden], [embedding, inner]
    if head is None:
        turned = ir.node("Transpose", [embedding], attributes={"perm": [1, 0]}, name="turned")
        nodes.append(turned)
        matrix = turned.outputs[0]
    else:
        matrix = stored("head", head)
        initializers.append(matrix)
    last = ir.node("MatMul", [hidden.outputs[0], matrix], name="head_product")
    last.outputs[0].name = "logits"
    last.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    last.outputs[0].shape = ir.Shape(["batch", "length", len(table)])
    graph = ir.Graph(
        [tokens],
        [last.outputs[0]],
        nodes=[*nodes, last],
        initializers=initializers,
        opset_imports={"": 18, MICROSOFT: 1},
        name="small",
    )
    return ir.Model(graph, ir_version=10)


def logits(model: ir.Model, tokens: Sequence[int]) -> Matrix:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    found: Matrix = session.run(["logits"], {"input_ids": np.array([tokens], np.int64)})[0][0]
    return found


def sizes(model: ir.Model) -> Mapping[str, int]:
    found = {}
    for item in model.graph.initializers.values():
        assert item.const_value is not None
        found[str(item.name)] = item.const_value.nbytes
    return found


@given(MATRICES)
def test_eight_bits_are_off_by_half_a_step_at_most(rows: Matrix) -> None:
    blocks = to_blocks(rows, 8)
    steps = np.repeat(blocks.scales, blocks.block, axis=1)[:, : rows.shape[1]]
    assert (np.abs(restored(blocks, rows.shape[1]) - rows) <= steps * 0.501 + 1e-6).all()


@given(MATRICES)
def test_four_bits_are_no_worse_than_dropping_the_numbers(rows: Matrix) -> None:
    found = restored(to_blocks(rows, 4), rows.shape[1])
    assert np.isfinite(found).all()
    assert np.abs(found).max(initial=0) <= np.abs(rows).max(initial=0) * 1.5 + 1e-6
    # What lies below the smallest normal number may or may not survive as a scale.
    if (np.abs(rows) > 1e-30).any():
        assert found.any()
    elif not rows.any():
        assert not found.any()


def test_searching_a_scale_beats_taking_the_largest_number() -> None:
    rows = weights(64, 256)
    found = restored(to_blocks(rows, 4), 256)
    blocks = rows.reshape(64, -1, 32)
    scales = np.abs(blocks).max(axis=2, keepdims=True) / 7
    plain = (np.rint(blocks / scales) * scales).reshape(64, -1)
    assert np.square(found - rows).mean() < 0.9 * np.square(plain - rows).mean()


def test_columns_that_matter_are_kept_nearer() -> None:
    rows = weights(64, 64)
    matters = np.ones(64, np.float32)
    matters[::4] = 100
    even = np.abs(restored(to_blocks(rows, 4), 64) - rows)[:, ::4].mean()
    weighted = np.abs(restored(to_blocks(rows, 4, importance=matters), 64) - rows)[:, ::4].mean()
    assert weighted < 0.9 * even


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("inputs", [64, 96, 40])
def test_onnx_runtime_reads_a_product_as_it_was_written(bits: int, inputs: int) -> None:
    table = weights(50, inputs)
    model = small_model(table, None)
    product = products(model.graph)["layer"]
    matrix = weights(inputs, inputs)
    blocks = to_blocks(np.ascontiguousarray(matrix.T), bits)
    store_product(model.graph, product, blocks, inputs)
    wanted = table[[3, 7]] @ restored(blocks, inputs).T @ table.T
    # Activations are rounded to 8 bits on the way.
    assert np.abs(logits(model, [3, 7]) - wanted).max() < 0.03 * np.abs(wanted).max()


@pytest.mark.parametrize("tied", [True, False])
def test_tables_shrink_to_a_quarter_and_mean_the_same(tied: bool) -> None:
    table = weights(300, 64)
    head = None if tied else weights(64, 300)
    model = small_model(table, head)
    before, tokens = logits(model, [1, 2, 299]), [1, 2, 299]
    whole = sum(sizes(model).values())
    shrink_tables(model)
    after = logits(model, tokens)
    assert np.abs(after - before).max() < 0.03 * np.abs(before).max()
    assert sum(sizes(model).values()) < 0.45 * whole
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()


def test_a_tied_table_is_stored_once() -> None:
    model = small_model(weights(300, 64), None)
    head = find_head(model)
    assert head is not None
    assert head.tied
    shrink_tables(model)
    bytes_of_tables = [size for size in sizes(model).values() if size >= 300 * 64]
    assert bytes_of_tables == [300 * 64]
    used = {node.op_type for node in model.graph}
    assert {"GatherBlockQuantized", "MatMulNBits"} <= used
    assert "Transpose" not in used


def test_a_table_that_no_block_divides_is_refused() -> None:
    model = small_model(weights(30, 40), None)
    with pytest.raises(ModelFileError, match="blocks of 16"):
        shrink_tables(model)
