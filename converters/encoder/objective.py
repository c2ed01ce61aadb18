"""What a task is trained for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from converters.encoder.settings import UNKNOWN
from converters.encoder.task import Outputs, TaskNetwork

_SMOOTHING: Final = 0.1
_CONTRAST: Final = 0.5
_TEMPERATURE: Final = 0.1
_MIXED: Final = 0.125
_SIDE_HEADS: Final = 0.3
_TAUGHT: Final = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Labels of a batch by index, :data:`UNKNOWN` where there is none: ``intents`` (b),
    ``sentiments`` (b), ``tags`` (b, tokens); ``taught`` (b, k) are a teacher's intent logits."""

    intents: Tensor
    sentiments: Tensor
    tags: Tensor
    taught: Tensor | None


def loss(
    network: TaskNetwork,
    hidden: Tensor,
    mask: Tensor,
    wanted: Wanted,
    *,
    outside: int,
    hiding: float,
) -> Tensor:
    """Loss of a batch that is seen twice, under two dropouts.

    Cross-entropy with smoothed labels, other tokens hidden in each view (token cutoff; Shen et al.,
    "A Simple but Tough-to-Beat Data Augmentation Approach", 2020); the two views agree (Liang et
    al., "R-Drop", NeurIPS 2021); pooled states of one intent gather (Khosla et al., "Supervised
    Contrastive Learning", NeurIPS 2020); mixtures of two intents are out of scope (Zhan et al.,
    "Out-of-Scope Intent Detection with Self-Supervision and Discriminative Training", ACL 2021); a
    teacher's logits are imitated (Furlanello et al., "Born Again Neural Networks", ICML 2018).

    Args:
        network: in training mode.
        hidden: (b, tokens, width).
        mask: (b, tokens).
        wanted: the labels.
        outside: index of out of scope among the intents, or -1.
        hiding: share of the tokens that a view does not see.
    """
    seen = without_some(torch.cat([mask, mask]), hiding)
    out: Outputs = network(torch.cat([hidden, hidden]), seen)
    intents = torch.cat([wanted.intents, wanted.intents])
    total = _classes(out.intent, intents, wanted.taught)
    total = total + _agreement(out.intent) + _CONTRAST * _contrast(out.pooled, intents, outside)
    if outside >= 0:
        total = total + _MIXED * _mixtures(network, out.pooled, intents, outside)
    if out.sentiment.shape[-1]:
        twice = torch.cat([wanted.sentiments, wanted.sentiments])
        total = total + _SIDE_HEADS * _known(out.sentiment, twice)
    if out.tags.shape[-1]:
        twice = torch.cat([wanted.tags, wanted.tags]).flatten()
        total = total + _SIDE_HEADS * _known(out.tags.flatten(0, 1), twice)
    return total


def without_some(mask: Tensor, share: float) -> Tensor:
    """``mask`` less a share of its tokens, the first of a text excepted."""
    if not share:
        return mask
    kept = torch.rand(mask.shape) >= share
    kept[:, 0] = True
    return mask * kept


def _classes(logits: Tensor, intents: Tensor, taught: Tensor | None) -> Tensor:
    by_label = functional.cross_entropy(logits, intents, label_smoothing=_SMOOTHING)
    if taught is None:
        return by_label
    twice = torch.cat([taught, taught])
    by_teacher = functional.kl_div(logits.log_softmax(-1), twice.softmax(-1), reduction="batchmean")
    return (1 - _TAUGHT) * by_label + _TAUGHT * by_teacher


def _agreement(logits: Tensor) -> Tensor:
    one, other = (half.log_softmax(-1) for half in logits.chunk(2))
    there = functional.kl_div(one, other, log_target=True, reduction="batchmean")
    back = functional.kl_div(other, one, log_target=True, reduction="batchmean")
    return (there + back) / 2


def _contrast(pooled: Tensor, intents: Tensor, outside: int) -> Tensor:
    unit = functional.normalize(pooled, dim=-1)
    own = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    likeness = (unit @ unit.T / _TEMPERATURE).masked_fill(own, -1e9)
    # What is out of scope has nothing in common.
    same = (intents[:, None] == intents[None]) & ~own & (intents != outside)[:, None]
    shares = likeness - torch.logsumexp(likeness, 1, keepdim=True)
    count = same.sum(1)
    some = count > 0
    if not bool(some.any()):
        return pooled.sum() * 0
    return (-(shares * same).sum(1)[some] / count[some]).mean()


def _mixtures(network: TaskNetwork, pooled: Tensor, intents: Tensor, outside: int) -> Tensor:
    other = torch.randperm(len(pooled))
    share = torch.distributions.Beta(2.0, 2.0).sample((len(pooled), 1)).clamp(0.3, 0.7)
    apart = (intents != intents[other]) & (intents != outside) & (intents[other] != outside)
    mixed = (share * pooled + (1 - share) * pooled[other])[apart][: max(1, len(pooled) // 8)]
    if not len(mixed):
        return pooled.sum() * 0
    return functional.cross_entropy(network.mixed(mixed), intents.new_full((len(mixed),), outside))


def _known(logits: Tensor, labels: Tensor) -> Tensor:
    if not bool((labels != UNKNOWN).any()):
        return logits.sum() * 0
    return functional.cross_entropy(logits, labels, ignore_index=UNKNOWN)
