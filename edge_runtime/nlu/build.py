"""Turns ``e5-small-q4.bin`` into an ONNX graph and a piece index, once per device.

Run as ``python -m edge_runtime.nlu.build SOURCE FOLDER``: a process of its own, because ``onnx``
and the decoded vocabulary would otherwise stay in the assistant's memory. The 4-bit weights stay
exactly what they were: ``MatMulNBits`` takes the same blocks of 32 with zero point 8, only the
nibbles are reordered. The word table is not copied; the encoder reads its rows from the source.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.nlu.e5file import BLOCK, E5File
from edge_runtime.nlu.files import write_atomically
from edge_runtime.nlu.tokenizer import piece_index

BUILDER_VERSION: Final = 1
GRAPH: Final = "encoder.onnx"
PIECES: Final = "pieces.npy"

_MICROSOFT: Final = "com.microsoft"
# Activations are rounded to int8 per block of 32, as the model's own engine does: cosine to
# float activations above 0.9998, and a third faster.
_INT8_ACTIVATIONS: Final = 4


def build(source: Path, folder: Path) -> None:
    """Write ``encoder.onnx`` and ``pieces.npy`` into ``folder``, each atomically.

    Raises:
        ModelCorruptError: the source is not a sound E5S1 file.
        StorageError: the folder cannot be written.
    """
    file = E5File(source)
    index = io.BytesIO()
    np.save(index, piece_index(file.vocabulary), allow_pickle=False)
    write_atomically(folder / PIECES, index.getvalue())
    write_atomically(folder / GRAPH, _Graph(file).serialize())


def _repack(blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Nibbles from (j, j + 16) in byte j to (2 j, 2 j + 1), the order of ``MatMulNBits``."""
    packed = blocks[..., 2:]
    nibbles = np.concatenate((packed & 0x0F, packed >> 4), axis=-1)
    return np.ascontiguousarray(nibbles[..., 0::2] | nibbles[..., 1::2] << 4)


class _Graph:
    """Assembles the ONNX graph: embeddings and mask in, unit-norm sentence vectors out."""

    def __init__(self, file: E5File) -> None:
        from onnx import helper, numpy_helper

        self._helper: Any = helper
        self._from_array: Any = numpy_helper.from_array
        self._file = file
        self._shape = file.shape
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def serialize(self) -> bytes:
        helper, shape = self._helper, self._shape
        rows = ["batch", "tokens"]
        inputs = [
            helper.make_tensor_value_info("embeddings", 1, [*rows, shape.hidden]),
            helper.make_tensor_value_info("mask", 1, rows),
        ]
        outputs = [helper.make_tensor_value_info("vectors", 1, ["batch", shape.hidden])]
        self._op("Cast", ["mask"], "attended", to=6)
        x = self._layer_norm("embeddings", "emb.ln")
        for layer in range(shape.layers):
            x = self._layer(x, f"l{layer}")
        self._pool(x)
        graph = helper.make_graph(self._nodes, "e5", inputs, outputs, self._constants)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(_MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return bytes(model.SerializeToString())

    def _constant(self, name: str, values: npt.NDArray[Any]) -> str:
        self._constants.append(self._from_array(np.ascontiguousarray(values), name))
        return name

    def _op(self, kind: str, inputs: list[str], name: str, domain: str = "", **attrs: Any) -> str:
        self._nodes.append(
            self._helper.make_node(kind, inputs, [name], name=name, domain=domain, **attrs)
        )
        return name

    def _layer_norm(self, x: str, name: str) -> str:
        weight = self._constant(f"{name}.w", self._file.floats(f"{name}.w", self._shape.hidden))
        bias = self._constant(f"{name}.b", self._file.floats(f"{name}.b", self._shape.hidden))
        epsilon = self._shape.epsilon
        return self._op("LayerNormalization", [x, weight, bias], name, axis=-1, epsilon=epsilon)

    def _linear(self, x: str, name: str, parts: tuple[str, ...], rows: int, columns: int) -> str:
        """One ``MatMulNBits`` for ``parts`` that share their input, stacked by rows."""
        blocks = np.concatenate([self._file.blocks(f"{p}.w", rows, columns) for p in parts])
        scales = blocks[..., :2].copy().view("<f2").astype(np.float32)
        biases = np.concatenate([self._file.floats(f"{p}.b", rows) for p in parts])
        return self._op(
            "MatMulNBits",
            [
                x,
                self._constant(f"{name}.q", _repack(blocks)),
                self._constant(f"{name}.s", scales.reshape(len(blocks), -1)),
                "",
                "",
                self._constant(f"{name}.bias", biases),
            ],
            name,
            _MICROSOFT,
            K=columns,
            N=rows * len(parts),
            bits=4,
            block_size=BLOCK,
            accuracy_level=_INT8_ACTIVATIONS,
        )

    def _layer(self, x: str, layer: str) -> str:
        hidden, forward = self._shape.hidden, self._shape.feed_forward
        parts = (f"{layer}.q", f"{layer}.k", f"{layer}.v")
        packed = self._linear(x, f"{layer}.qkv", parts, hidden, hidden)
        context = self._attention(packed, layer)
        mixed = self._linear(context, f"{layer}.ao", (f"{layer}.ao",), hidden, hidden)
        x = self._layer_norm(self._op("Add", [x, mixed], f"{layer}.sum1"), f"{layer}.aln")
        inner = self._linear(x, f"{layer}.fi", (f"{layer}.fi",), forward, hidden)
        active = self._op("Gelu", [inner], f"{layer}.gelu")
        outer = self._linear(active, f"{layer}.fo", (f"{layer}.fo",), hidden, forward)
        return self._layer_norm(self._op("Add", [x, outer], f"{layer}.sum2"), f"{layer}.oln")

    def _attention(self, packed: str, layer: str) -> str:
        names = [f"{layer}.{part}" for part in ("query", "key", "value")]
        self._nodes.append(
            self._helper.make_node("Split", [packed], names, axis=-1, num_outputs=len(names))
        )
        heads = self._shape.heads
        inputs = [*names, "", "attended"]
        return self._op("MultiHeadAttention", inputs, f"{layer}.mixed", _MICROSOFT, num_heads=heads)

    def _pool(self, x: str) -> None:
        """Mean over the tokens that are not padding, then length 1."""
        last = self._constant("pool.axis", np.array([2], np.int64))
        tokens = self._constant("pool.tokens", np.array([1], np.int64))
        weights = self._op("Unsqueeze", ["mask", last], "pool.weights")
        kept = self._op("Mul", [x, weights], "pool.kept")
        # The mean's divisor cancels in the normalisation, so a sum is enough.
        total = self._op("ReduceSum", [kept, tokens], "pool.sum", keepdims=0)
        self._op("LpNormalization", [total], "vectors", axis=-1, p=2)


def main(arguments: list[str]) -> int:
    source, folder = (Path(argument) for argument in arguments)
    try:
        build(source, folder)
    except EdgeRuntimeError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
