"""Rounding to 8 bits costs little even where a few dimensions are far larger than the others."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from encoder_kit import WIDTH, tiny_e5
from torch import Tensor

from converters.encoder.body import Trunk
from converters.encoder.graph import ROWS, Graph
from converters.encoder.smoothing import Factors, smoothing, spread
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


def lost(trunk: Trunk, factors: Factors | None) -> float:
    """Share of the states' differences that the graph in 8 bits gets wrong on other texts."""
    graph = Graph(factors)
    graph.layers("states", graph.attended("mask"), trunk.layers, output="hidden")
    form = {"states": (*ROWS, WIDTH), "mask": ROWS}
    session = onnxruntime.InferenceSession(graph.serialize(form, {"hidden": (*ROWS, WIDTH)}))
    wrong = whole = 0.0
    for states in texts(1):
        mask = np.ones(states.shape[:2], np.float32)
        (found,) = session.run(None, {"states": states.numpy(), "mask": mask})
        wanted = through(trunk, states)
        wrong += float(np.square(found - wanted.numpy()).sum())
        whole += float((wanted - wanted.mean(1, keepdim=True)).square().sum())
    return wrong / whole


def test_evened_out_products_lose_a_fraction_of_what_plain_ones_lose(trunk: Trunk) -> None:
    factors, _ = smoothing(trunk.layers, texts(0))
    assert lost(trunk, factors) < lost(trunk, None) / 3


def test_the_states_behind_the_layers_are_theirs(trunk: Trunk) -> None:
    _, found = smoothing(trunk.layers, texts(0))
    for states, after in zip(texts(0), found, strict=True):
        wanted = through(trunk, states)
        assert torch.allclose(after, wanted, atol=1e-4)


def test_factors_are_found_for_every_product_and_can_divide(trunk: Trunk) -> None:
    factors, _ = smoothing(trunk.layers, texts(0))
    products = [product for layer in trunk.layers for product in layer.products()]
    assert set(factors) == set(products)
    for product, factor in factors.items():
        assert factor.shape == (product.in_features,)
        assert bool((factor > 0).all())
        assert bool(torch.isfinite(1 / factor).all())


def test_texts_come_from_the_whole_of_them() -> None:
    assert list(spread(range(10))) == list(range(10))
    chosen = spread(range(10_000))
    assert len(chosen) == 256
    assert max(chosen) > 9_900
