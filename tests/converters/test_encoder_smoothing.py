"""Rounding to 8 bits costs little even where a few dimensions are far larger than the others."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from encoder_kit import WIDTH, tiny_e5
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from converters.encoder.body import Trunk
from converters.encoder.graph import ROWS, Graph
from converters.encoder.smoothing import (
    Products,
    made_up_weights,
    rounded_weights,
    smoothing,
    spread,
)
from edge_runtime.nlu.e5file import E5File

LOUD = 3
"""A dimension that is forty times larger than the others, as two are in the real encoder."""


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Trunk:
    made = Trunk(E5File(tiny_e5(tmp_path_factory.mktemp("whole") / "e5.bin")), 2)
    with torch.no_grad():
        for layer in made.layers:
            layer.norm1.weight[LOUD] = 40.0
            layer.inner.weight[:, LOUD] /= 40.0
            layer.outer.weight[:, LOUD] /= 40.0
            layer.inner.weight[LOUD] *= 40.0
            layer.inner.bias[LOUD] += 40.0
    return made


def texts(seed: int, count: int = 24) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 5 + row % 7, WIDTH, generator=generator) for row in range(count)]


@torch.no_grad()
def through(trunk: Trunk, states: Tensor) -> Tensor:
    """What the layers make of one text in 32 bits."""
    for layer in trunk.layers:
        states = layer(states, torch.zeros(()))
    return states


def lost(trunk: Trunk, seen: Products | None) -> float:
    """Share of the states' differences that the graph in 8 bits gets wrong on another text, the
    middle one of many: where nearly nothing but the loud dimension is left, any rounding counts."""
    graph = Graph(seen)
    graph.layers("states", trunk.layers, output="hidden")
    form = {"states": (*ROWS, WIDTH)}
    session = onnxruntime.InferenceSession(graph.serialize(form, {"hidden": (*ROWS, WIDTH)}))
    shares = []
    for states in texts(1):
        (found,) = session.run(None, {"states": states.numpy()})
        wanted = through(trunk, states)
        whole = (wanted - wanted.mean(1, keepdim=True)).square().sum()
        shares.append(float(np.square(found - wanted.numpy()).sum() / whole))
    return float(np.median(shares))


def test_evened_out_products_lose_a_fraction_of_what_plain_ones_lose(trunk: Trunk) -> None:
    seen, _ = smoothing(trunk.layers, texts(0))
    assert lost(trunk, seen) < lost(trunk, None) / 6


def test_the_states_behind_the_layers_are_theirs(trunk: Trunk) -> None:
    _, found = smoothing(trunk.layers, texts(0))
    for states, after in zip(texts(0), found, strict=True):
        wanted = through(trunk, states)
        assert torch.allclose(after, wanted, atol=1e-4)


def test_factors_are_found_for_every_product_and_can_divide(trunk: Trunk) -> None:
    seen, _ = smoothing(trunk.layers, texts(0))
    products = [product for layer in trunk.layers for product in layer.products()]
    assert set(seen) == set(products)
    for product, known in seen.items():
        assert known.factor.shape == (product.in_features,)
        assert bool((known.factor > 0).all())
        assert bool(torch.isfinite(1 / known.factor).all())


def test_texts_come_from_the_whole_of_them() -> None:
    assert list(spread(range(10))) == list(range(10))
    chosen = spread(range(10_000))
    assert len(chosen) == 256
    assert max(chosen) > 9_900


@given(seed=st.integers(0, 999), inputs=st.integers(1, 40), far=st.floats(1, 1000))
def test_no_two_weights_side_by_side_can_overflow_sixteen_bits(
    seed: int, inputs: int, far: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(6, inputs, generator=generator)
    weight[seed % 6, seed % inputs] *= far
    weight[0] = 0.0
    given = torch.randn(20, inputs, generator=generator)
    plain, scales = rounded_weights(weight)
    made_up, same = made_up_weights(weight, given.T @ given / 20)
    assert torch.equal(scales, same)
    assert bool(((plain * scales - weight).abs() <= scales * 0.501).all())
    for steps in (plain, made_up):
        pairs = torch.nn.functional.pad(steps.abs(), (0, inputs % 2)).reshape(6, -1, 2).sum(2)
        assert int(pairs.amax()) * 255 < 2**15
        assert int(steps.abs().amax()) < 2**7


def test_a_weight_that_stands_alone_takes_all_steps_that_a_byte_has() -> None:
    steps, _ = rounded_weights(torch.tensor([[3.0, 0.0, 1.5, 1.5]]))
    assert steps.tolist() == [[127, 0, 64, 64]]


def test_inputs_to_come_make_up_for_what_rounding_loses() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(48, 64, generator=generator) + 1
    given, other = (torch.randn(400, 48, generator=generator) @ mixing for _ in range(2))
    weight = torch.randn(10, 64, generator=generator)

    def wrong(steps: Tensor, scales: Tensor) -> float:
        return float((other @ (steps * scales - weight).T).square().mean())

    plain = wrong(*rounded_weights(weight))
    assert wrong(*made_up_weights(weight, given.T @ given / 400)) < plain / 3
