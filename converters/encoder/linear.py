"""Linear classifiers on what is never trained, added to what the trained layers say.

They err differently, so their sum errs less (Dietterich, "Ensemble Methods in Machine Learning",
2000), the more so where examples are few or a request is out of scope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional

from converters.encoder.calibrating import temperature
from converters.encoder.graph import Graph
from converters.encoder.settings import UNKNOWN
from converters.encoder.states import States
from edge_runtime.nlu import Vectors

Indexes = npt.NDArray[np.int64]
VECTOR_SHARE: Final = 0.4
POOLED_SHARE: Final = 0.3
"""Of their logits in what stands beside the trained layers: best on the validation part of CLINC150
and on lines of BANKING77 outside its test; anything from 0.2 to 0.6 was near."""
SHARES: Final = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.4)
"""How much of both may count. Where lines are much alike the classifiers are too sure of
themselves: for made lines a third was best, for lines that people wrote nearly all."""
OUTSIDE_SHARE: Final = 0.4
"""Of what they say for out of scope, which has no one place for a plane to cut off: best on the
validation part of CLINC150; .25 to .5 were near."""
_LENGTH: Final = 4.5
"""Of the features, on average, so that one regularisation fits every kind."""
_STRENGTH: Final = 30.0
_ITERATIONS: Final = 300
_UNSEEN: Final = -20.0
_HIDDEN: Final = -1e4


@dataclass(frozen=True, slots=True, eq=False)
class Linears:
    """``vector`` reads the sentence vector, ``pooled`` the mean of the trunk's states; ``outside``
    is the index of out of scope, or -1; ``share`` of what they say counts."""

    vector: nn.Linear
    pooled: nn.Linear
    outside: int
    share: float = 1.0

    def logits(self, vectors: Tensor, pooled: Tensor) -> Tensor:
        """What is added to the network's logits, (n, k), of features (n, width)."""
        total: Tensor = self.vector(vectors) + self.pooled(pooled)
        shares, hidden = map(torch.from_numpy, self._by_class())
        if self.outside >= 0:
            total = total - torch.logsumexp(total + hidden, 1, keepdim=True)
        return total * shares

    def graph(self, graph: Graph, vectors: str, pooled: str) -> str:
        """The same in ``graph``, of its values ``vectors`` and ``pooled``."""
        parts = [graph.linear(vectors, self.vector), graph.linear(pooled, self.pooled)]
        total = graph.op("Add", parts)
        shares, hidden = map(graph.constant, self._by_class())
        if self.outside >= 0:
            axis = graph.constant(np.array([1], np.int64))
            inside = graph.op("Add", [total, hidden])
            together = graph.op("ReduceLogSumExp", [inside, axis], keepdims=1)
            total = graph.op("Sub", [total, together])
        return graph.op("Mul", [total, shares])

    def _by_class(self) -> tuple[Vectors, Vectors]:
        """What of each class counts (k), and what hides out of scope from a sum (k)."""
        classes = self.vector.out_features
        shares, hidden = np.full(classes, self.share, np.float32), np.zeros(classes, np.float32)
        if self.outside >= 0:
            shares[self.outside], hidden[self.outside] = OUTSIDE_SHARE * self.share, _HIDDEN
        return shares, hidden


def best_share(trained: Tensor, beside: Tensor, intents: Tensor) -> float:
    """How much of ``beside`` to add to ``trained``, judged by lines that neither learnt.

    Both are pooled as logarithms (Genest and Zidek, "Combining Probability Distributions", 1986);
    the share is the one whose sum surprises least at the temperature that suits it best.

    Args:
        trained: logits of the trained layers, (n, k).
        beside: what a whole share would add, (n, k).
        intents: index of each line's intent, (n), :data:`.settings.UNKNOWN` for one not trained.
    """
    if not bool((intents >= 0).any()):
        return 1.0

    def surprise(share: float) -> float:
        logits = trained + share * beside
        logits = logits / temperature(logits.numpy(), intents.numpy())
        return float(functional.cross_entropy(logits, intents, ignore_index=UNKNOWN))

    return min(SHARES, key=surprise)


def fit_linears(
    states: States, intents: Indexes, rows: Sequence[int], classes: int, outside: int
) -> Linears:
    """Both classifiers, learnt from ``rows``.

    Args:
        states: features of all lines.
        intents: index of each line's intent, (n).
        rows: the lines to learn from.
        classes: how many intents there are, k.
        outside: index of out of scope among them, or -1.
    """
    chosen = list(rows)
    wanted = intents[chosen]
    return Linears(
        _fitted(states.vectors[chosen], wanted, classes, VECTOR_SHARE),
        _fitted(states.pooled[chosen], wanted, classes, POOLED_SHARE),
        outside,
    )


def _fitted(features: Vectors, intents: Indexes, classes: int, share: float) -> nn.Linear:
    mean = features.mean(axis=0)
    scale = _LENGTH / max(1e-9, float(np.linalg.norm(features - mean, axis=1).mean()))
    model: Any = LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS)
    model.fit((features - mean) * scale, intents)
    coefficients, offsets = model.coef_ * scale, model.intercept_
    if len(model.classes_) == 2:
        # Of two classes only the second one's log-odds are kept.
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        offsets = np.concatenate([-offsets, offsets]) / 2
    weights = np.zeros((classes, features.shape[1]), np.float32)
    biases = np.full(classes, _UNSEEN * share, np.float32)
    weights[model.classes_] = share * coefficients
    biases[model.classes_] = share * (offsets - coefficients @ mean)
    layer = nn.Linear(features.shape[1], classes)
    layer.weight.data, layer.bias.data = torch.from_numpy(weights), torch.from_numpy(biases)
    return layer.requires_grad_(False)
