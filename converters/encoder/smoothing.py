"""Evens out what goes into products in 8 bits, so that a few large numbers do not cost the others.

Activations are rounded by their largest, and a few dimensions of this encoder are tens of times
larger than the rest: nine tenths of what 8 bits cost came from these. Each input is divided by a
factor and its weights are multiplied by it (Xiao et al., "SmoothQuant", ICML 2023); how strongly,
is chosen for each product by the error that is left on texts (Lin et al., "AWQ", MLSys 2024).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from converters.encoder.body import Layer

Factors = Mapping[nn.Linear, Tensor]
"""By what each input of a product is divided, (inputs)."""

_LARGEST: Final = 63
"""Weights' largest step; processors without VNNI add two products of 8 bits in 16: with 7-bit
weights that never overflows."""
_STEPS: Final = 255
_STRENGTHS: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_LEAST: Final = 1e-4
_SEEN: Final = 256
_T = TypeVar("_T")


def rounded_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``weight`` (outputs, inputs) in whole steps, and the size of a step for each output (outputs,
    1)."""
    scales = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / _LARGEST
    return torch.round(weight / scales), scales


def spread(texts: Sequence[_T]) -> Sequence[_T]:
    """As many as factors are chosen by, from the whole of them."""
    return texts[:: max(1, len(texts) // _SEEN)][:_SEEN]


@torch.no_grad()
def smoothing(
    layers: Iterable[nn.Module], states: Sequence[Tensor]
) -> tuple[Factors, list[Tensor]]:
    """Factors for all products of ``layers``, and the states behind the last of them.

    Args:
        layers: one behind the other, each a :class:`.body.Layer`.
        states: what goes into the first, one text each, (1, tokens, width).
    """
    factors: dict[nn.Linear, Tensor] = {}
    states = list(states)
    for layer in (layer for layer in layers if isinstance(layer, Layer)):
        inputs, states = _observed(layer, states)
        factors |= {product: _factor(product, seen) for product, seen in inputs.items()}
    return factors, states


def _observed(
    layer: Layer, states: Sequence[Tensor]
) -> tuple[dict[nn.Linear, list[Tensor]], list[Tensor]]:
    """What each product of the layer is given by each text, (tokens, inputs), and what the layer
    gives."""
    inputs: dict[nn.Linear, list[Tensor]] = {product: [] for product in layer.products()}
    hooks = [
        product.register_forward_pre_hook(partial(_note, seen)) for product, seen in inputs.items()
    ]
    try:
        after = [layer(hidden, hidden.new_zeros(())) for hidden in states]
    finally:
        for hook in hooks:
            hook.remove()
    return inputs, after


def _note(seen: list[Tensor], _: nn.Module, given: tuple[Tensor, ...]) -> None:
    seen.append(given[0][0])


def _factor(product: nn.Linear, seen: Sequence[Tensor]) -> Tensor:
    """The factors, (inputs), that leave the least error; ones where none helps."""
    weight = product.weight
    heights = weight.abs().amax(0).clamp_min(_LEAST)
    peaks = torch.stack([given.abs().amax(0) for given in seen])
    wanted = torch.cat(list(seen)) @ weight.T
    candidates = [torch.ones_like(heights)]
    for typical in (peaks.amax(0), peaks.mean(0)):
        for strength in _STRENGTHS:
            factor = typical.clamp_min(_LEAST) ** strength / heights ** (1 - strength)
            candidates.append(factor / factor.log().mean().exp())
    return min(candidates, key=lambda factor: _error(weight, seen, wanted, factor))


def _error(weight: Tensor, seen: Sequence[Tensor], wanted: Tensor, factor: Tensor) -> float:
    steps, scales = rounded_weights(weight * factor)
    given = torch.cat([_rounded(part / factor) for part in seen])
    return float((given @ (steps * scales).T - wanted).square().sum())


def _rounded(given: Tensor) -> Tensor:
    """As ONNX's ``DynamicQuantizeLinear`` rounds one text's numbers."""
    low, high = given.amin().clamp_max(0), given.amax().clamp_min(0)
    scale = (high - low).clamp_min(1e-12) / _STEPS
    zero = torch.round(-low / scale)
    return (torch.clamp(torch.round(given / scale) + zero, 0, _STEPS) - zero) * scale
