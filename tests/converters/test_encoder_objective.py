"""What stands beside the trained layers, and what training shows them."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from converters.encoder.graph import Graph
from converters.encoder.linear import OUTSIDE_SHARE, SHARES, Linears, best_share
from converters.encoder.objective import without_some
from converters.encoder.rounds import HIDING, hiding
from converters.encoder.settings import FEW, UNKNOWN

WIDTH, CLASSES, OUTSIDE = 8, 5, 2


def linears(outside: int, share: float = 1.0) -> Linears:
    torch.manual_seed(1)
    return Linears(nn.Linear(WIDTH, CLASSES), nn.Linear(WIDTH, CLASSES), outside, share)


def features() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(3, WIDTH, generator=generator) * 9 for _ in range(2)]


def test_linear_classifiers_say_little_of_what_is_out_of_scope() -> None:
    one = linears(OUTSIDE)
    with torch.inference_mode():
        plain = linears(-1).logits(*features())
        found = one.logits(*features())
    inside = [index for index in range(CLASSES) if index != OUTSIDE]
    # In scope they keep all they say of one intent against another, and say nothing of all.
    apart = plain[:, inside] - found[:, inside]
    assert torch.allclose(apart, apart[:, :1].expand_as(apart), atol=1e-5)
    assert torch.allclose(found[:, inside].logsumexp(1), torch.zeros(3), atol=1e-5)
    lead = plain[:, OUTSIDE] - plain[:, inside].logsumexp(1)
    assert torch.allclose(found[:, OUTSIDE], OUTSIDE_SHARE * lead, atol=1e-4)


@pytest.mark.parametrize("outside", [OUTSIDE, -1])
def test_a_share_of_them_is_added(outside: int) -> None:
    with torch.inference_mode():
        whole, part = (linears(outside, share).logits(*features()) for share in (1.0, 0.35))
    assert torch.allclose(part, 0.35 * whole, atol=1e-5)


def test_as_much_of_them_counts_as_helps() -> None:
    generator = torch.Generator().manual_seed(4)
    wanted = torch.arange(600) % CLASSES
    right = nn.functional.one_hot(wanted, CLASSES).float()
    blurred = right + torch.randn(600, CLASSES, generator=generator)
    chance = torch.randn(600, CLASSES, generator=generator)
    assert best_share(blurred, chance, wanted) <= 0.1
    assert best_share(chance, blurred, wanted) == max(SHARES)
    assert 0.5 <= best_share(blurred, right + chance, wanted) <= max(SHARES)
    # Intents that were not trained say nothing; without any other, all of them counts.
    mixed = torch.where(torch.arange(600) < 500, wanted, UNKNOWN)
    assert best_share(blurred, chance, mixed) <= 0.1
    assert best_share(blurred, chance, torch.full((600,), UNKNOWN)) == 1.0


class Whole(Graph):
    """Products in 32 bits, so that nothing but the arithmetic can differ."""

    def linear(self, x: str, layer: nn.Linear, output: str = "") -> str:
        product = self.op("MatMul", [x, self.constant(layer.weight.detach().numpy().T)])
        return self.op("Add", [product, self.constant(layer.bias.detach().numpy())], output)


@pytest.mark.parametrize("outside", [OUTSIDE, -1])
def test_the_device_computes_the_same(outside: int) -> None:
    one = linears(outside, 0.35)
    graph = Whole()
    graph.op("Identity", [one.graph(graph, "vectors", "pooled")], "intent")
    given = {"vectors": ("batch", WIDTH), "pooled": ("batch", WIDTH)}
    made = graph.serialize(given, {"intent": ("batch", CLASSES)})
    session = onnxruntime.InferenceSession(made)
    vectors, pooled = features()
    (said,) = session.run(None, {"vectors": vectors.numpy(), "pooled": pooled.numpy()})
    with torch.inference_mode():
        assert np.allclose(said, one.logits(vectors, pooled).numpy(), atol=1e-4)


def test_hidden_tokens_are_never_a_texts_first_and_never_its_padding() -> None:
    torch.manual_seed(3)
    mask = torch.ones(400, 50)
    mask[:, 40:] = 0
    seen = without_some(mask, 0.25)
    assert bool((seen[:, 0] == 1).all())
    assert not bool(seen[:, 40:].any())
    assert float(seen[:, 1:40].mean()) == pytest.approx(0.75, abs=0.01)
    assert torch.equal(without_some(mask, 0.0), mask)


def test_tokens_are_hidden_where_lines_are_few() -> None:
    few = torch.arange(4).repeat_interleave(FEW - 1)
    many = torch.arange(4).repeat_interleave(FEW)
    assert hiding(few) == HIDING
    assert hiding(many) == 0.0
    # One rare intent among many that are not makes no small set.
    assert hiding(torch.cat([many, torch.tensor([9])])) == 0.0
