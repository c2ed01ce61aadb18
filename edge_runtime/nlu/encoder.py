"""Sentence vectors, and what trained heads say, from one encoder for a hundred languages.

The encoder is the student made from multilingual-e5-small (Wang et al., "Multilingual E5 Text
Embeddings", 2024). Its similarities sit high (0.7 to 1.0); compare them, do not read them as
probabilities.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import numpy as np

from edge_runtime.errors import EngineError
from edge_runtime.nlu.base import TextKind, Vectors
from edge_runtime.nlu.network import StudentNetwork, TaskOutput
from edge_runtime.nlu.student import Task, TaskLabels
from edge_runtime.nlu.tokenizer import Pieces

Key = TypeVar("Key")
Value = TypeVar("Value")

_PREFIX: Final[Mapping[TextKind, str]] = {"query": "query: ", "passage": "passage: "}
_MAX_TOKENS: Final[Mapping[TextKind, int]] = {"query": 128, "passage": 512}
_REMEMBERED_VECTORS: Final = 512
_REMEMBERED_OUTPUTS: Final = 64


class Encoder:
    """Encodes queries and passages; safe to call from several threads at once.

    Args:
        files: the verified files of the base by name.
        threads: threads of one forward pass.
        task: heads trained for this base, which :meth:`understand` then reads.

    Raises:
        ModelMissingError: ``files`` lacks one.
        ModelCorruptError: a file is not sound, or ``task`` belongs to another encoder.
        EngineError: a graph cannot be loaded.
    """

    def __init__(self, files: Mapping[str, Path], threads: int, task: Task | None = None) -> None:
        network = StudentNetwork(files, threads, task)
        self._network: StudentNetwork | None = network
        self.fingerprint = network.fingerprint
        self.labels: TaskLabels | None = task.labels if task else None
        self.dimension = network.words.shape.hidden
        self._vectors: _Memory[tuple[TextKind, str], Vectors] = _Memory(_REMEMBERED_VECTORS)
        self._outputs: _Memory[str, TaskOutput] = _Memory(_REMEMBERED_OUTPUTS)

    def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """Unit-norm vectors of ``texts``, float32 of shape (n, 384).

        Queries keep their first 128 tokens, passages 512. Recent vectors are remembered, so
        asking for the same text again costs nothing.

        Raises:
            EngineError: the runtime failed, or the encoder is closed.
        """
        network = self._open()
        found = self._vectors.recall((kind, text) for text in texts)
        wanted = [text for text in dict.fromkeys(texts) if (kind, text) not in found]
        for text in wanted:
            hidden = network.hidden(self._pieces(network, text, kind).ids)
            found[kind, text] = network.vector(hidden)
        self._vectors.remember(found)
        out = np.empty((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            out[row] = found[kind, text]
        return out

    def understand(self, texts: Sequence[str]) -> list[TaskOutput]:
        """What the trained heads say of each text as a query; its vector is remembered with it.

        Raises:
            EngineError: the runtime failed, or the encoder is closed or has no trained heads.
        """
        network = self._open()
        found = self._outputs.recall(texts)
        for text in dict.fromkeys(texts):
            if text not in found:
                pieces = self._pieces(network, text, "query")
                hidden = network.hidden(pieces.ids)
                vector = network.vector(hidden)
                found[text] = network.read(hidden, vector, tuple(pieces.spans))
                self._vectors.remember({("query", text): vector})
        self._outputs.remember(found)
        return [found[text] for text in texts]

    def smoke(self) -> None:
        """Check that translations lie closer together than unrelated sentences.

        Raises:
            EngineError: they do not, or the encoder cannot run at all.
        """
        network = self._open()
        texts = ("where is my order", "我的订单在哪里", "the cat sleeps on the sofa")
        ids = (self._pieces(network, text, "query").ids for text in texts)
        one, like, other = (network.vector(network.hidden(row)) for row in ids)
        if not float(one @ like) > float(one @ other):
            raise EngineError("The encoder runs but its vectors make no sense on this machine.")

    def close(self) -> None:
        """Free the network; later calls raise :class:`EngineError`."""
        self._network = None
        self._vectors.forget()
        self._outputs.forget()

    def _open(self) -> StudentNetwork:
        network = self._network
        if network is None:
            raise EngineError("The encoder is closed.")
        return network

    def _pieces(self, network: StudentNetwork, text: str, kind: TextKind) -> Pieces:
        limit = min(_MAX_TOKENS[kind], network.words.shape.positions)
        return network.tokenizer.pieces(text, limit, _PREFIX[kind])


class _Memory(Generic[Key, Value]):
    """The most recent results; safe to use from several threads at once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Value] = OrderedDict()

    def recall(self, keys: Iterable[Key]) -> dict[Key, Value]:
        found: dict[Key, Value] = {}
        with self._lock:
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found[key] = self._kept[key]
        return found

    def remember(self, found: Mapping[Key, Value]) -> None:
        with self._lock:
            for key, value in found.items():
                self._kept[key] = value
                self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()
