"""The student encoder at work: lower layers once, then what reads their hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
    """What one forward pass says of one text of n tokens.

    ``vector`` (dimension) is its unit-norm embedding; ``intent`` (intents), ``sentiment``
    (sentiments or 0) and ``entities`` (n, tags or 0) are logits in the order of the labels;
    ``spans`` (n) say which characters of the text each token stands for.
    """

    vector: Vectors
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

    # Activations are rounded by the largest of the batch: alone, a text always reads the same.
    batch_tokens: Final = 1

    def __init__(self, files: Mapping[str, Path], threads: int, task: Task | None) -> None:
        self.fingerprint = base_fingerprint(files)
        if task is not None:
            check_encoder(task.labels, self.fingerprint)
        if not (PIECES in files and files[PIECES].is_file()):
            raise ModelCorruptError(f"The student encoder lacks {PIECES}.")
        self.words = E5File(files[WORDS])
        self.tokenizer = Tokenizer(self.words, files[PIECES])
        self._trunk = Session(files[TRUNK], threads, "encoder's trunk")
        self._embedding = Session(files[EMBEDDING], threads, "encoder's embedding")
        self._heads = None if task is None else _Heads(task, threads)
        self._try_out()

    def vectors(self, embeddings: Vectors, mask: Vectors) -> Vectors:
        """Unit-norm vectors (batch, dimension)."""
        hidden = self._hidden(embeddings, mask)
        return self._vectors(hidden, mask)

    def understand(
        self, embeddings: Vectors, mask: Vectors, spans: tuple[tuple[int, int], ...]
    ) -> TaskOutput:
        """Everything about one text, from one pass; batch is 1."""
        if self._heads is None:
            raise EngineError("The encoder was opened without trained heads.")
        hidden = self._hidden(embeddings, mask)
        vectors = self._vectors(hidden, mask)
        return self._heads.read(hidden, mask, vectors, spans)

    def _hidden(self, embeddings: Vectors, mask: Vectors) -> Vectors:
        feeds = {"embeddings": embeddings, "mask": mask}
        return self._trunk.run(["hidden"], feeds)[0]

    def _vectors(self, hidden: Vectors, mask: Vectors) -> Vectors:
        return self._embedding.run(["vectors"], {"hidden": hidden, "mask": mask})[0]

    def _try_out(self) -> None:
        """Run every graph once: a wrong shape shows here and not before a customer."""
        width = self.words.shape.hidden
        embeddings = np.zeros((1, 2, width), np.float32)
        mask = np.ones((1, 2), np.float32)
        hidden = self._hidden(embeddings, mask)
        vectors = self._vectors(hidden, mask)
        if hidden.shape != (1, 2, width) or vectors.shape != (1, width):
            raise EngineError(f"The encoder's graphs do not work on vectors of {width} numbers.")
        if self._heads is not None:
            self._heads.read(hidden, mask, vectors, ((0, 0), (0, 0)))


class _Heads:
    """A loaded ``task.onnx``."""

    def __init__(self, task: Task, threads: int) -> None:
        self._session = Session(task.graph, threads, "task")
        self._wanted = _sizes(task.labels)
        self._inputs = frozenset(self._session.inputs)
        missing = self._wanted.keys() - self._session.outputs.keys()
        if missing:
            raise EngineError(f"The task graph lacks the output '{min(missing)}'.")
        if not {"hidden"} <= self._inputs <= {"hidden", "mask", "vectors"}:
            raise EngineError("The task graph asks for other inputs than hidden, mask, vectors.")

    def read(
        self, hidden: Vectors, mask: Vectors, vectors: Vectors, spans: tuple[tuple[int, int], ...]
    ) -> TaskOutput:
        given = {"hidden": hidden, "mask": mask, "vectors": vectors}
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
            vectors[0],
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
