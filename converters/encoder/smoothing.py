"""Evens out what goes into products in 8 bits, so that a few large numbers do not cost the others.

Activations are rounded by their largest, and a few dimensions of this encoder are tens of times
larger than the rest: nine tenths of what 8 bits cost came from these. Each input is divided by a
factor and its weights are multiplied by it (Xiao et al., "SmoothQuant", ICML 2023); how strongly,
is chosen for each product by the error that is left on texts (Lin et al., "AWQ", MLSys 2024). Then
weights are rounded one input after the other, and those still to come make up for what each loses
(Frantar et al., "GPTQ", ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from converters.encoder.body import Layer


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What is known of a product's inputs: ``factor`` (inputs), by which each is divided, and
    ``gram`` (inputs, inputs), the mean of their products with each other after that."""

    factor: Tensor
    gram: Tensor


Products = Mapping[nn.Linear, Seen]

_LARGEST: Final = 127
"""Of two weights that stand side by side, the most steps together. Processors without VNNI add
their products with 8-bit inputs in 16 bits, signed: 255 times 128, one more by rounding, fits."""
_STEPS: Final = 255
_STRENGTHS: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_LEAST: Final = 1e-4
_DAMPING: Final = 0.01
_SEEN: Final = 256
_T = TypeVar("_T")


def rounded_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``weight`` (outputs, inputs) in whole steps, and the size of a step for each output (outputs,
    1)."""
    scales = _scales(weight)
    return torch.round(weight / scales), scales


@torch.no_grad()
def made_up_weights(weight: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`rounded_weights`, each input's rounding made up for by the next ones.

    Args:
        weight: (outputs, inputs).
        gram: mean product of any two inputs, (inputs, inputs).
    """
    scales = _scales(weight)
    left = (weight / scales).double()
    damped = gram.double() + _DAMPING * gram.diagonal().mean().clamp_min(_LEAST) * torch.eye(
        len(gram)
    )
    # What to add to the inputs to come, for each step that one is off (the paper's equation 3).
    inverse = torch.linalg.cholesky(
        torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True
    )
    steps = torch.zeros_like(left)
    for place in range(left.shape[1]):
        beside = steps[:, place - 1].abs() if place % 2 else torch.ones(len(left))
        most = (_LARGEST + 1 - beside).clamp_max(_LARGEST)
        steps[:, place] = torch.round(left[:, place]).clamp(-most, most)
        off = (left[:, place] - steps[:, place]) / inverse[place, place]
        left[:, place + 1 :] -= off[:, None] * inverse[place, place + 1 :]
    return steps.float(), scales


def _scales(weight: Tensor) -> Tensor:
    heights = functional.pad(weight.abs(), (0, weight.shape[1] % 2))
    pairs = heights.reshape(len(heights), -1, 2).sum(2)
    return pairs.amax(1, keepdim=True).clamp_min(1e-12) / _LARGEST


def spread(texts: Sequence[_T]) -> Sequence[_T]:
    """As many as factors are chosen by, from the whole of them."""
    return texts[:: max(1, len(texts) // _SEEN)][:_SEEN]


@torch.no_grad()
def smoothing(
    layers: Iterable[nn.Module], states: Sequence[Tensor]
) -> tuple[Products, list[Tensor]]:
    """What is known of all products of ``layers``, and the states behind the last of them.

    Args:
        layers: one behind the other, each a :class:`.body.Layer`.
        states: what goes into the first, one text each, (1, tokens, width).
    """
    found: dict[nn.Linear, Seen] = {}
    states = list(states)
    for layer in (layer for layer in layers if isinstance(layer, Layer)):
        inputs, states = _observed(layer, states)
        found |= {product: _seen(product, given) for product, given in inputs.items()}
    return found, states


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


def _seen(product: nn.Linear, given: Sequence[Tensor]) -> Seen:
    factor = _factor(product, given)
    inputs = torch.cat(list(given)) / factor
    return Seen(factor, inputs.T @ inputs / len(inputs))


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
