"""A task on the student's trunk: upper layers of its own, and heads that read them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from converters.encoder.body import attention_bias, mean_pool, read_layers
from converters.encoder.graph import ROWS, Graph
from converters.encoder.linear import Linears
from converters.encoder.smoothing import smoothing
from edge_runtime.nlu.e5file import E5File

_SPREAD: Final = 0.02


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many intents (with out of scope, if it is one), sentiments and tags; 0 for no head."""

    intents: int
    sentiments: int
    tags: int


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """``pooled`` (batch, width); ``intent`` (batch, k), ``sentiment`` (batch, s) and ``tags``
    (batch, tokens, t) are logits."""

    pooled: Tensor
    intent: Tensor
    sentiment: Tensor
    tags: Tensor


class TaskNetwork(nn.Module):
    """Layers ``depth`` and up of ``file`` as a start, and heads near zero."""

    def __init__(self, file: E5File, depth: int, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        width = file.shape.hidden
        self.layers = read_layers(file, depth, file.shape.layers, dropout)
        self.drop = nn.Dropout(dropout)
        self.intent = _head(width, sizes.intents)
        self.sentiment = _head(width, sizes.sentiments)
        self.tags = _head(width, sizes.tags)

    def forward(self, hidden: Tensor, mask: Tensor) -> Outputs:
        """``hidden`` (batch, tokens, width) as the trunk leaves it."""
        bias = attention_bias(mask)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        pooled = mean_pool(hidden, mask)
        dropped = self.drop(pooled)
        return Outputs(
            pooled.float(),
            self.intent(dropped).float(),
            self.sentiment(dropped).float(),
            self.tags(self.drop(hidden)).float(),
        )

    def mixed(self, pooled: Tensor) -> Tensor:
        """Intent logits of pooled states that no text has."""
        logits: Tensor = self.intent(self.drop(pooled)).float()
        return logits

    def graph(self, sizes: Sizes, linears: Linears, seen: Sequence[Tensor]) -> bytes:
        """The network and ``linears`` as ``task.onnx``, products rounded by the states ``seen``,
        one text each, (1, tokens, width)."""
        width = self.intent.in_features
        known, _ = smoothing(self.layers, seen)
        graph = Graph(known)
        states = graph.layers("hidden", self.layers)
        pooled = graph.pooled(states)
        beside = linears.graph(graph, "vectors", graph.pooled("hidden"))
        graph.op("Add", [graph.linear(pooled, self.intent), beside], "intent")
        outputs: dict[str, tuple[int | str, ...]] = {"intent": (*ROWS[:1], sizes.intents)}
        for name, source, size in (
            ("sentiment", pooled, sizes.sentiments),
            ("entities", states, sizes.tags),
        ):
            if size:
                layer = self.tags if name == "entities" else getattr(self, name)
                graph.linear(source, layer, output=name)
                rows = ROWS if name == "entities" else ROWS[:1]
                outputs[name] = (*rows, size)
        vectors = (*ROWS[:1], width)
        inputs = {"hidden": (*ROWS, width), "vectors": vectors}
        return graph.serialize(inputs, outputs)


def _head(width: int, size: int) -> nn.Linear:
    head = nn.Linear(width, size)
    with torch.no_grad():
        head.weight.normal_(std=_SPREAD)
        head.bias.zero_()
    return head
