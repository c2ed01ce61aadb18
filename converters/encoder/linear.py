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
from torch import nn

from converters.encoder.states import States
from edge_runtime.nlu import Vectors

Indexes = npt.NDArray[np.int64]
VECTOR_SHARE: Final = 0.4
POOLED_SHARE: Final = 0.3
"""Of their logits in the sum, the trained layers' counting whole: best on the validation part of
CLINC150 and on lines of BANKING77 outside its test; anything from 0.2 to 0.6 was near."""
_LENGTH: Final = 4.5
"""Of the features, on average, so that one regularisation fits every kind."""
_STRENGTH: Final = 30.0
_ITERATIONS: Final = 300
_UNSEEN: Final = -20.0


@dataclass(frozen=True, slots=True, eq=False)
class Linears:
    """``vector`` reads the sentence vector, ``pooled`` the mean of the trunk's states; the sum of
    their logits (k) is added to the network's."""

    vector: nn.Linear
    pooled: nn.Linear

    def logits(self, vectors: Vectors, pooled: Vectors) -> Vectors:
        """(n, k) of features (n, width)."""
        with torch.inference_mode():
            total = self.vector(torch.from_numpy(vectors)) + self.pooled(torch.from_numpy(pooled))
        found: Vectors = total.numpy()
        return found


def fit_linears(states: States, intents: Indexes, rows: Sequence[int], classes: int) -> Linears:
    """Both classifiers, learnt from ``rows``.

    Args:
        states: features of all lines.
        intents: index of each line's intent, (n).
        rows: the lines to learn from.
        classes: how many intents there are, k.
    """
    chosen = list(rows)
    wanted = intents[chosen]
    return Linears(
        _fitted(states.vectors[chosen], wanted, classes, VECTOR_SHARE),
        _fitted(states.pooled[chosen], wanted, classes, POOLED_SHARE),
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
