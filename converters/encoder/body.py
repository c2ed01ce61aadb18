"""multilingual-e5-small as PyTorch layers, read from the file that devices get it in.

A BERT body (Devlin et al., 2019): positions from 0, post-LayerNorm, erf GELU, mean over all tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_runtime.nlu.e5file import E5File, Shape
from edge_runtime.nlu.rows import FloatArray, dequantize

_FAR: Final = -1e4


class Layer(nn.Module):
    """One transformer layer; float32 ``hidden`` of shape (batch, tokens, width)."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = shape.heads
        self.dropout = dropout
        width, inner = shape.hidden, shape.feed_forward
        self.qkv = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, shape.epsilon)
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width, shape.epsilon)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """``bias`` (batch, 1, 1, tokens) is added to attention scores: 0, or far below for pads."""
        batch, tokens, width = hidden.shape
        query, key, value = (
            part.reshape(batch, tokens, self.heads, -1).transpose(1, 2)
            for part in self.qkv(hidden).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(2, 3) * (width // self.heads) ** -0.5 + bias
        weights = self._drop(scores.softmax(dim=-1))
        context = (weights @ value).transpose(1, 2).reshape(batch, tokens, width)
        hidden = self.norm1(hidden + self._drop(self.mixed(context)))
        lifted = self.outer(functional.gelu(self.inner(hidden)))
        out: Tensor = self.norm2(hidden + self._drop(lifted))
        return out

    def products(self) -> tuple[nn.Linear, ...]:
        """What it multiplies its inputs by."""
        return self.qkv, self.mixed, self.inner, self.outer

    def _drop(self, values: Tensor) -> Tensor:
        return functional.dropout(values, self.dropout, self.training)


def attention_bias(mask: Tensor) -> Tensor:
    """``mask`` (batch, tokens) of ones and zeros as what attention adds to its scores."""
    return (1.0 - mask)[:, None, None, :] * _FAR


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that are not padding, (batch, width)."""
    weights = mask[:, :, None]
    return (hidden * weights).sum(1) / weights.sum(1)


def read_layers(file: E5File, first: int, last: int, dropout: float = 0.0) -> nn.ModuleList:
    """Layers ``first`` up to ``last`` (exclusive) of the file, dequantised to float32.

    Raises:
        ModelCorruptError: the file lacks one of them.
    """
    layers = nn.ModuleList()
    for index in range(first, last):
        layer = Layer(file.shape, dropout)
        width, inner, name = file.shape.hidden, file.shape.feed_forward, f"l{index}"
        qkv = [_matrix(file, f"{name}.{part}", width, width) for part in "qkv"]
        _set(layer.qkv, np.concatenate([w for w, _ in qkv]), np.concatenate([b for _, b in qkv]))
        _set(layer.mixed, *_matrix(file, f"{name}.ao", width, width))
        _set(layer.inner, *_matrix(file, f"{name}.fi", inner, width))
        _set(layer.outer, *_matrix(file, f"{name}.fo", width, inner))
        _set(layer.norm1, file.floats(f"{name}.aln.w", width), file.floats(f"{name}.aln.b", width))
        _set(layer.norm2, file.floats(f"{name}.oln.w", width), file.floats(f"{name}.oln.b", width))
        layers.append(layer)
    return layers


class Words:
    """The word, position and type rows that a text's ids stand for."""

    def __init__(self, file: E5File) -> None:
        shape = file.shape
        kinds = file.floats("emb.type", shape.token_types, shape.hidden)
        self._file = file
        self._places = file.floats("emb.pos", shape.positions, shape.hidden) + kinds[0]

    def batch(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Embeddings (batch, tokens, width) and mask (batch, tokens), padded with zeros."""
        tokens, width = max(map(len, ids)), self._places.shape[1]
        rows = np.zeros((len(ids), tokens, width), np.float32)
        mask = np.zeros((len(ids), tokens), np.float32)
        for index, row in enumerate(ids):
            rows[index, : len(row)] = self._file.words(row)
            rows[index, : len(row)] += self._places[: len(row)]
            mask[index, : len(row)] = 1.0
        return torch.from_numpy(rows), torch.from_numpy(mask)


class Trunk(nn.Module):
    """The first LayerNorm and the lower layers; never trained."""

    def __init__(self, file: E5File, depth: int) -> None:
        super().__init__()
        shape = file.shape
        self.norm = nn.LayerNorm(shape.hidden, shape.epsilon)
        _set(
            self.norm, file.floats("emb.ln.w", shape.hidden), file.floats("emb.ln.b", shape.hidden)
        )
        self.layers = read_layers(file, 0, depth)

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Hidden states (batch, tokens, width)."""
        hidden: Tensor = self.norm(embeddings)
        bias = attention_bias(mask)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return hidden


class Embedding(nn.Module):
    """The frozen encoder's upper layers: what retrieval has always read."""

    def __init__(self, file: E5File, depth: int) -> None:
        super().__init__()
        self.layers = read_layers(file, depth, file.shape.layers)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Unit-norm vectors (batch, width)."""
        bias = attention_bias(mask)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return functional.normalize(mean_pool(hidden, mask), dim=-1)


def _matrix(file: E5File, name: str, rows: int, columns: int) -> tuple[FloatArray, FloatArray]:
    return dequantize(file.blocks(f"{name}.w", rows, columns)), file.floats(f"{name}.b", rows)


def _set(module: nn.Linear | nn.LayerNorm, weight: FloatArray, bias: FloatArray) -> None:
    module.weight.data = torch.from_numpy(weight.copy())
    module.bias.data = torch.from_numpy(bias.copy())
