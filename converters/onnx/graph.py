"""Surgery on ONNX graphs that the quantisers of ONNX Runtime leave undone.

A decoder's embedding is often its head as well ("tied"). Quantisers see the head as a product with
a transposed initialiser and leave it in 32 bits, which is most of a small model's file. Here both
read one table in 8 bits: ``MatMulNBits`` and ``GatherBlockQuantized`` store a row-major matrix in
blocks along its rows in the same layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from converters.errors import ModelFileError
from converters.onnx.blocks import BLOCK, Blocks, to_blocks

LOGITS: Final = "logits"
FIRST_LOGIT: Final = "first_logit"
MICROSOFT: Final = "com.microsoft"
_INT8_ACTIVATIONS: Final = 4
_LAST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Head:
    """The product that makes the logits; ``table`` is its weight, ``tied`` when that is the
    embedding, stored as (vocabulary, hidden), else as (hidden, vocabulary)."""

    node: ir.Node
    table: ir.Value
    tied: bool


def find_head(model: ir.Model) -> Head | None:
    """A decoder's head, or ``None`` for an encoder.

    Raises:
        ModelFileError: there are logits, but no product with a stored matrix makes them.
    """
    logits = next((value for value in model.graph.outputs if value.name == LOGITS), None)
    if logits is None:
        return None
    node = logits.producer()
    weight = node.inputs[1] if node is not None and node.op_type == "MatMul" else None
    if node is None or weight is None:
        raise ModelFileError("The logits of this ONNX model are not made by one product.")
    if _stored(weight):
        return Head(node, weight, tied=False)
    source = weight.producer()
    table = source.inputs[0] if source is not None and source.op_type == "Transpose" else None
    if table is None or not _stored(table):
        raise ModelFileError("The head of this ONNX model has no stored matrix.")
    return Head(node, table, tied=True)


def add_first_logit(model: ir.Model) -> None:
    """Let the caller say from which position on it wants logits.

    The optional input ``first_logit``, int64 of shape (1,), may count from the end; without it all
    positions have logits, as other programs expect. A prompt needs those of its last token only,
    and a head is a quarter of a small model's work.

    Raises:
        ModelFileError: the model has no head.
    """
    head = find_head(model)
    if head is None:
        raise ModelFileError("This ONNX model makes no logits.")
    graph = model.graph
    first = ir.Value(
        name=FIRST_LOGIT,
        shape=ir.Shape([1]),
        type=ir.TensorType(ir.DataType.INT64),
        const_value=ir.tensor(np.zeros(1, np.int64), name=FIRST_LOGIT),
    )
    graph.inputs.append(first)
    graph.register_initializer(first)
    end = _initializer(graph, "last_logit", np.array([_LAST], np.int64))
    axis = _initializer(graph, "logit_axis", np.array([1], np.int64))
    hidden = head.node.inputs[0]
    wanted = ir.node("Slice", [hidden, first, end, axis], name="wanted_logits")
    graph.insert_before(head.node, wanted)
    head.node.replace_input_with(0, wanted.outputs[0])
    head.node.outputs[0].shape = ir.Shape(["batch_size", "wanted_logits", None])


def shrink_tables(model: ir.Model) -> None:
    """Store embeddings and the head in 8 bits, once where they are tied.

    Raises:
        ModelFileError: rows that no block size divides.
    """
    head = find_head(model)
    graph = model.graph
    for table in list(graph.initializers.values()):
        lookups = [use.node for use in table.uses() if _is_lookup(use.node, table)]
        product = head if head is not None and head.table is table else None
        if not lookups and product is None:
            continue
        rows = matrix_of(table)
        if product is not None and not product.tied:
            rows = np.ascontiguousarray(rows.T)
        columns = rows.shape[1]
        stored = to_blocks(rows, 8, block=_block(str(table.name), columns))
        values = _initializer(graph, f"{table.name}_Q8", stored.values)
        for node in lookups:
            _look_up(graph, node, values, stored, columns)
        if product is not None:
            scales = _initializer(graph, f"{table.name}_Q8_scales", stored.scales)
            _multiply(graph, product.node, values, scales, stored, columns)
    prune(model)


def _block(name: str, columns: int) -> int:
    for size in (BLOCK, BLOCK // 2):
        if columns % size == 0:
            return size
    raise ModelFileError(
        f"The table '{name}' has rows of {columns} numbers, which do not divide into blocks of "
        f"{BLOCK // 2}."
    )


def prune(model: ir.Model) -> None:
    """Drop nodes and initialisers that nothing reads."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    RemoveUnusedNodesPass()(model)


def store_product(graph: ir.Graph, node: ir.Node, stored: Blocks, columns: int) -> None:
    """Replace the product ``node`` by one with a matrix in blocks, of ``columns`` inputs."""
    name = f"{node.name}_Q{stored.bits}"
    values = _initializer(graph, f"{name}_values", stored.values)
    scales = _initializer(graph, f"{name}_scales", stored.scales)
    _multiply(graph, node, values, scales, stored, columns)


def products(graph: ir.Graph) -> dict[str, ir.Node]:
    """The products with a stored matrix of shape (inputs, outputs), by name."""
    return {
        str(node.name): node
        for node in graph
        if node.op_type == "MatMul"
        and node.inputs[1] is not None
        and _stored(node.inputs[1])
        and len(node.inputs[1].shape or ()) == 2
    }


def matrix_of(value: ir.Value) -> npt.NDArray[np.float32]:
    """A stored matrix, read from the disk where it lies there."""
    return np.asarray(_numpy(value), np.float32)


def _look_up(
    graph: ir.Graph, node: ir.Node, values: ir.Value, stored: Blocks, columns: int
) -> None:
    """Replace the lookup ``node``: blocks are gathered, then joined to rows again."""
    name = f"{node.name}_Q8"
    # The table has three axes, (rows, blocks, block), because the product wants it so.
    scales = _initializer(graph, f"{name}_scales", stored.scales[:, :, None])
    gather = ir.node(
        "GatherBlockQuantized",
        [values, node.inputs[1], scales],
        domain=MICROSOFT,
        attributes={"gather_axis": 0, "quantize_axis": 2, "block_size": stored.block, "bits": 8},
        name=name,
    )
    shape = _initializer(graph, f"{name}_shape", np.array([0, 0, columns], np.int64))
    joined = ir.node("Reshape", [gather.outputs[0], shape], name=f"{name}_rows")
    graph.insert_before(node, [gather, joined])
    _take_over(graph, node, joined)


def _multiply(
    graph: ir.Graph,
    node: ir.Node,
    values: ir.Value,
    scales: ir.Value,
    stored: Blocks,
    columns: int,
) -> None:
    product = ir.node(
        "MatMulNBits",
        [node.inputs[0], values, scales],
        domain=MICROSOFT,
        attributes={
            "K": columns,
            "N": len(stored.values),
            "bits": stored.bits,
            "block_size": stored.block,
            "accuracy_level": _INT8_ACTIVATIONS,
        },
        name=f"{node.name}_Q{stored.bits}",
    )
    graph.insert_before(node, product)
    _take_over(graph, node, product)


def _take_over(graph: ir.Graph, old: ir.Node, new: ir.Node) -> None:
    result, made = old.outputs[0], new.outputs[0]
    made.shape, made.type = result.shape, result.type
    if result in graph.outputs:
        made.name = result.name
        graph.outputs[graph.outputs.index(result)] = made
    result.replace_all_uses_with(made)
    graph.remove(old, safe=True)


def _is_lookup(node: ir.Node, table: ir.Value) -> bool:
    """Whether ``node`` picks rows of the two-dimensional ``table`` of 32-bit floats."""
    axis = node.attributes.get("axis")
    shape = table.shape
    return (
        node.op_type == "Gather"
        and node.inputs[0] is table
        and (axis is None or axis.as_int() == 0)
        and table.dtype == ir.DataType.FLOAT
        and shape is not None
        and len(shape) == 2
    )


def _stored(value: ir.Value) -> bool:
    return value.is_initializer() and value.const_value is not None


def _numpy(value: ir.Value) -> npt.NDArray[Any]:
    tensor = value.const_value
    if tensor is None:
        raise ModelFileError(f"The ONNX model's '{value.name}' has no content.")
    found: npt.NDArray[Any] = tensor.numpy()
    return found


def _initializer(graph: ir.Graph, name: str, values: npt.NDArray[Any]) -> ir.Value:
    tensor = ir.tensor(values, name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape(values.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value
