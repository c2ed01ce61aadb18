"""Layers of the encoder as ONNX graphs: products in 8 bits, all else in 32.

Weights are rounded symmetrically by output channel, activations as they come (dynamic
quantisation), evened out before by what :mod:`.smoothing` found, by the one recipe for trunk,
embedding and task alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from converters.encoder.body import Layer
from converters.encoder.smoothing import Products, Seen, made_up_weights, rounded_weights

FloatArray = npt.NDArray[np.float32]
Info = Sequence[int | str]

ROWS: Final = ("batch", "tokens")
_MICROSOFT: Final = "com.microsoft"
_OPSET: Final = 20
_IR: Final = 10


class Graph:
    """An ONNX graph under construction; names of values are handed from one method to the next.

    Args:
        seen: of which products the inputs are known.
    """

    def __init__(self, seen: Products | None = None) -> None:
        from onnx import helper, numpy_helper

        self._helper: Any = helper
        self._from_array: Any = numpy_helper.from_array
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._count = 0
        self._seen: Products = seen or {}

    def serialize(self, inputs: Mapping[str, Info], outputs: Mapping[str, Info]) -> bytes:
        """The whole model; every input and output is float32."""
        helper = self._helper
        infos = [
            [helper.make_tensor_value_info(name, 1, list(shape)) for name, shape in side.items()]
            for side in (inputs, outputs)
        ]
        graph = helper.make_graph(self._nodes, "encoder", *infos, self._constants)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR)
        return bytes(model.SerializeToString())

    def op(
        self, kind: str, inputs: Iterable[str], output: str = "", domain: str = "", **attrs: Any
    ) -> str:
        """One node; returns the name of its output."""
        name = output or self._name(kind)
        node = self._helper.make_node(kind, list(inputs), [name], domain=domain, **attrs)
        self._nodes.append(node)
        return name

    def constant(self, values: npt.NDArray[Any]) -> str:
        """A stored tensor."""
        name = self._name("c")
        self._constants.append(self._from_array(np.ascontiguousarray(values), name))
        return name

    def linear(self, x: str, layer: nn.Linear, output: str = "") -> str:
        """``x`` times the layer's weight, plus its bias."""
        return self._product(x, layer.weight, layer.bias, self._seen.get(layer), output)

    def _product(
        self, x: str, weight: Tensor, bias: Tensor, seen: Seen | None, output: str = ""
    ) -> str:
        """``x`` times ``weight`` (outputs, inputs), plus ``bias``; where the inputs are known they
        are divided first."""
        if seen is not None:
            x = self.op("Mul", [x, self.constant((1 / seen.factor).numpy())])
        return self._divided(x, weight, bias, seen, output)

    def _divided(
        self, x: str, weight: Tensor, bias: Tensor, seen: Seen | None, output: str = ""
    ) -> str:
        """The same of an ``x`` that is divided already."""
        weight, added = weight.detach().float(), self.constant(bias.detach().float().numpy())
        if seen is None:
            steps, scales = rounded_weights(weight)
        else:
            steps, scales = made_up_weights(weight * seen.factor, seen.gram)
        quantized = [self._name("q") for _ in range(3)]
        node = self._helper.make_node("DynamicQuantizeLinear", [x], quantized)
        self._nodes.append(node)
        values, scale, zero = quantized
        integers = self.constant(steps.T.numpy().astype(np.int8))
        product = self.op("MatMulInteger", [values, integers, zero])
        size = self.op("Mul", [scale, self.constant(scales[:, 0].numpy())])
        scaled = self.op("Mul", [self.op("Cast", [product], to=1), size])
        return self.op("Add", [scaled, added], output)

    def norm(self, x: str, layer: nn.LayerNorm, output: str = "") -> str:
        """LayerNorm over the last axis."""
        weight = self.constant(layer.weight.detach().float().numpy())
        bias = self.constant(layer.bias.detach().float().numpy())
        inputs = [x, weight, bias]
        return self.op("LayerNormalization", inputs, output, axis=-1, epsilon=layer.eps)

    def layers(self, x: str, layers: Iterable[nn.Module], output: str = "") -> str:
        """Transformer layers one after the other, for texts without padding."""
        stack = [layer for layer in layers if isinstance(layer, Layer)]
        for place, layer in enumerate(stack, 1):
            x = self._layer(x, layer, output if place == len(stack) else "")
        return x

    def pooled(self, x: str) -> str:
        """Mean over the tokens, (batch, width)."""
        return self.op("ReduceMean", [x, self.constant(np.array([1], np.int64))], keepdims=0)

    def without(self, x: str, directions: Tensor) -> str:
        """``x`` (batch, width) less what it has of orthonormal ``directions`` (k, width)."""
        across = self.constant(directions.numpy())
        shares = self.op("MatMul", [x, self.constant(directions.T.numpy())])
        return self.op("Sub", [x, self.op("MatMul", [shares, across])])

    def unit(self, x: str, output: str = "") -> str:
        """Rows brought to length 1."""
        return self.op("LpNormalization", [x], output, axis=-1, p=2)

    def _layer(self, x: str, layer: Layer, output: str) -> str:
        parts = [self._name("part") for _ in range(3)]
        packed = self._product(x, *self._values_divided(layer), self._seen.get(layer.qkv))
        self._nodes.append(
            self._helper.make_node("Split", [packed], parts, axis=-1, num_outputs=len(parts))
        )
        context = self.op("MultiHeadAttention", parts, domain=_MICROSOFT, num_heads=layer.heads)
        seen = self._seen.get(layer.mixed)
        mixed = self._divided(context, layer.mixed.weight, layer.mixed.bias, seen)
        x = self.norm(self.op("Add", [x, mixed]), layer.norm1)
        lifted = self.linear(self.op("Gelu", [self.linear(x, layer.inner)]), layer.outer)
        return self.norm(self.op("Add", [x, lifted]), layer.norm2, output)

    def _values_divided(self, layer: Layer) -> tuple[Tensor, Tensor]:
        """Weight and bias of queries, keys and values. Attention only adds values up, so that what
        divides its result may as well divide them, at no cost."""
        weight, bias = layer.qkv.weight.detach().clone(), layer.qkv.bias.detach().clone()
        if (seen := self._seen.get(layer.mixed)) is not None:
            weight[-len(seen.factor) :] /= seen.factor[:, None]
            bias[-len(seen.factor) :] /= seen.factor
        return weight, bias

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"
