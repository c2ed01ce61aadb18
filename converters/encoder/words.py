"""Writes the part of an E5S1 container that a student needs: vocabulary, word rows, positions."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from converters.encoder.trellis import quantize_trellis
from converters.progress import Report, silent
from edge_runtime.nlu.e5file import MAGIC, RARE_MEAN, RARE_ROWS, WORD_ROWS, E5File
from edge_runtime.nlu.rows import BLOCK, FLOAT16, FLOAT32, FOUR_BITS, TWO_BITS

_VERSION: Final = 3


def words_file(file: E5File, pieces: Sequence[int], fine: int, progress: Report = silent) -> bytes:
    """The container with only ``pieces`` (ids of ``file``), renumbered in that order.

    Rows of the first ``fine`` are copied as they are, the others stored in 2 bits: the layout is
    that of :mod:`edge_runtime.nlu.e5file`.

    Raises:
        ModelCorruptError: ``file`` lacks a tensor.
    """
    vocabulary, shape = file.vocabulary, file.shape
    places = {old: new for new, old in enumerate(pieces)}
    texts = [vocabulary.piece(old) for old in pieces]
    scores = np.array([vocabulary.scores[old] for old in pieces], "<f4")
    sizes = (shape.hidden, shape.layers, shape.heads, shape.feed_forward, len(pieces))
    head = MAGIC + struct.pack("<I", _VERSION)
    head += struct.pack("<7i", *sizes, shape.positions, shape.token_types)
    head += struct.pack("<fi", shape.epsilon, BLOCK)
    specials = (vocabulary.bos, vocabulary.eos, vocabulary.pad, vocabulary.unk)
    head += struct.pack("<5iQ", len(pieces), *(places[s] for s in specials), sum(map(len, texts)))
    head += np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes() + scores.tobytes()
    head += b"".join(texts) + _normalization(file)
    words = file.blocks(WORD_ROWS, shape.vocabulary, shape.hidden)[list(pieces[:fine])]
    positions = file.floats("emb.pos", shape.positions, shape.hidden)
    kinds = file.floats("emb.type", shape.token_types, shape.hidden)
    tensors = [
        (WORD_ROWS, FOUR_BITS, len(words) * shape.hidden, words.tobytes()),
        ("emb.pos", FLOAT16, positions.size, positions.astype("<f2").tobytes()),
        ("emb.type", FLOAT32, kinds.size, kinds.astype("<f4").tobytes()),
    ]
    if rare := list(pieces[fine:]):
        rows = file.words(rare)
        mean = rows.mean(axis=0, dtype=np.float64).astype("<f4")
        packed = quantize_trellis(rows - mean, progress)
        tensors.append((RARE_ROWS, TWO_BITS, rows.size, packed.tobytes()))
        tensors.append((RARE_MEAN, FLOAT32, mean.size, mean.tobytes()))
    return head + _tensors(tensors, len(head))


def _normalization(file: E5File) -> bytes:
    entries = b"".join(
        struct.pack(f"<IB{len(to)}I", point, len(to), *map(ord, to))
        for point, to in file.normalization.items()
    )
    return struct.pack("<iI", len(file.normalization), len(entries)) + entries


def _tensors(tensors: Sequence[tuple[str, int, int, bytes]], start: int) -> bytes:
    """Directory and data of named tensors, the former beginning at ``start``."""
    at = start + 4 + sum(2 + len(name) + struct.calcsize("<BIQQ") for name, *_ in tensors)
    directory, data = struct.pack("<i", len(tensors)), b""
    for name, kind, elements, content in tensors:
        directory += struct.pack("<H", len(name)) + name.encode("ascii")
        directory += struct.pack("<BIQQ", kind, elements, at + len(data), len(content))
        data += content
    return directory + data
