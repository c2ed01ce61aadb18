"""The student encoder at work: lower layers once, then what reads their hidden states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import EngineError, ModelCorruptError
from edge_runtime.modelfiles import EMBEDDING, PIECES, TRUNK, WORDS
from edge_runtime.nlu.base import Vectors
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.session import Session
from edge_runtime.nlu.student import Task, TaskLabels, base_fingerprint, check_encoder
from edge_runtime.nlu.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, eq=False)
class TaskOutput:
    """What the heads say of one text of n tokens.

    ``intent`` (intents), ``sentiment`` (sentiments or 0) and ``entities`` (n, tags or 0) are logits
    in the order of the labels; ``spans`` (n) say which characters each token stands for.
    """

    intent: Vectors
    sentiment: Vectors
    entities: Vectors
    spans: tuple[tuple[int, int], ...]


class StudentNetwork:
    """Trunk, embedding and, where a task is given, its heads.

    Args:
        files: the base's files by name.
        threads: threads of one forward pass.
        task: the heads, or ``None`` where only vectors are wanted.

    Raises:
        ModelMissingError: a file is missing.
        ModelCorruptError: a file is not sound, or the task belongs to another base.
        EngineError: a graph cannot be loaded, or is not of the agreed form.
    """

    def __init__(self, files: Mapping[str, Path], threads: int, task: Task | None) -> None:
        self.fingerprint = base_fingerprint(files)
        if task is not None:
            check_encoder(task.labels, self.fingerprint)
        if not (PIECES in files and files[PIECES].is_file()):
            raise ModelCorruptError(f"The student encoder lacks {PIECES}.")
        self.words = E5File(files[WORDS])
        self.tokenizer = Tokenizer(self.words, files[PIECES])
        shape = self.words.shape
        kinds = self.words.floats("emb.type", shape.token_types, shape.hidden)
        self._positions = self.words.floats("emb.pos", shape.positions, shape.hidden) + kinds[0]
        self._trunk = Session(files[TRUNK], threads, "encoder's trunk")
        self._embedding = Session(files[EMBEDDING], threads, "encoder's embedding")
        self._heads = None if task is None else _Heads(task, threads)
        self._try_out()

    def hidden(self, ids: Sequence[int]) -> Vectors:
        """States (1, n, dimension) of the text of n pieces ``ids``, which the other two read.

        Activations are rounded by the largest of a batch: alone, a text always reads the same.
        """
        words = self.words.words(ids)
        return self._hidden((words + self._positions[: len(ids)])[None])

    def _hidden(self, embeddings: Vectors) -> Vectors:
        return self._trunk.run(["hidden"], {"embeddings": embeddings})[0]

    def vector(self, hidden: Vectors) -> Vectors:
        """The unit-norm vector (dimension) of the text behind ``hidden``."""
        found = self._embedding.run(["vectors"], {"hidden": hidden})[0]
        if found.shape != (1, self.words.shape.hidden):
            raise EngineError("The encoder's embedding graph gives no vector of the agreed form.")
        vector: Vectors = found[0]
        return vector

    def read(
        self, hidden: Vectors, vector: Vectors, spans: tuple[tuple[int, int], ...]
    ) -> TaskOutput:
        """What the heads say of the text behind ``hidden`` and its ``vector``."""
        if self._heads is None:
            raise EngineError("The encoder was opened without trained heads.")
        return self._heads.read(hidden, vector, spans)

    def _try_out(self) -> None:
        """Run every graph once: a wrong shape shows here and not before a customer."""
        width = self.words.shape.hidden
        hidden = self._hidden(np.zeros((1, 2, width), np.float32))
        if hidden.shape != (1, 2, width):
            raise EngineError(f"The encoder's graphs do not work on vectors of {width} numbers.")
        vector = self.vector(hidden)
        if self._heads is not None:
            self._heads.read(hidden, vector, ((0, 0), (0, 0)))


class _Heads:
    """A loaded ``task.onnx``."""

    def __init__(self, task: Task, threads: int) -> None:
        self._session = Session(task.graph, threads, "task")
        self._wanted = _sizes(task.labels)
        self._inputs = frozenset(self._session.inputs)
        missing = self._wanted.keys() - self._session.outputs.keys()
        if missing:
            raise EngineError(f"The task graph lacks the output '{min(missing)}'.")
        if not {"hidden"} <= self._inputs <= {"hidden", "vectors"}:
            raise EngineError("The task graph asks for other inputs than hidden and vectors.")

    def read(
        self, hidden: Vectors, vector: Vectors, spans: tuple[tuple[int, int], ...]
    ) -> TaskOutput:
        given = {"hidden": hidden, "vectors": vector[None]}
        feeds = {name: given[name] for name in self._inputs}
        logits = dict(zip(self._wanted, self._session.run(list(self._wanted), feeds), strict=True))
        tokens = hidden.shape[1]
        for name, size in self._wanted.items():
            shape = (1, tokens, size) if name == "entities" else (1, size)
            if logits[name].shape != shape:
                raise EngineError(f"The task graph's '{name}' does not agree with its labels.")
            if not np.isfinite(logits[name]).all():
                raise EngineError(f"The task graph's '{name}' holds what is no number.")
        nothing = np.zeros((1, 0), np.float32)
        return TaskOutput(
            logits["intent"][0],
            logits.get("sentiment", nothing)[0],
            logits.get("entities", np.zeros((1, tokens, 0), np.float32))[0],
            spans,
        )


def _sizes(labels: TaskLabels) -> dict[str, int]:
    sizes = {
        "intent": len(labels.intents),
        "sentiment": len(labels.sentiments),
        "entities": len(labels.tags),
    }
    return {name: size for name, size in sizes.items() if size}
