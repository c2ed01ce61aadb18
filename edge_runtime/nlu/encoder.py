"""multilingual-e5-small on ONNX Runtime: one vector space for a hundred languages.

Wang et al., "Multilingual E5 Text Embeddings", 2024. Similarities of this model sit high
(0.7 to 1.0); compare them, do not read them as probabilities.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_runtime.errors import EngineError, ModelCorruptError, ModelMissingError
from edge_runtime.nlu.base import TextKind, Vectors
from edge_runtime.nlu.build import BUILDER_VERSION, GRAPH, PIECES
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.files import sha256
from edge_runtime.nlu.tokenizer import Tokenizer

MODEL_FILE: Final = "e5-small-q4.bin"
_PREFIX: Final[Mapping[TextKind, str]] = {"query": "query: ", "passage": "passage: "}
_MAX_TOKENS: Final[Mapping[TextKind, int]] = {"query": 128, "passage": 512}
_BATCH_TOKENS: Final = 256
_REMEMBERED: Final = 512
_BUILD_TIMEOUT_S: Final = 300


class Encoder:
    """Encodes queries and passages; safe to call from several threads at once.

    Args:
        files: the verified model files by name; needs ``e5-small-q4.bin``.
        cache_dir: where the graph built from the file is kept between starts.
        threads: threads of one forward pass.

    Raises:
        ModelMissingError: ``files`` lacks the model.
        ModelCorruptError: the model file is not sound.
        StorageError: the cache folder cannot be written.
        EngineError: the graph cannot be built or loaded.
    """

    def __init__(self, files: Mapping[str, Path], cache_dir: Path, threads: int) -> None:
        if MODEL_FILE not in files:
            raise ModelMissingError(
                f"The encoder needs {MODEL_FILE}.", hint="Run 'edge-runtime models pull'."
            )
        source = files[MODEL_FILE]
        self._file = E5File(source)
        shape = self._file.shape
        self.dimension = shape.hidden
        self.fingerprint = f"{sha256(source)[:32]}-{BUILDER_VERSION}"
        kinds = self._file.floats("emb.type", shape.token_types, shape.hidden)
        self._positions = self._file.floats("emb.pos", shape.positions, shape.hidden) + kinds[0]
        self._session: Any = None
        self._tokenizer: Tokenizer | None = None
        self._lock = threading.Lock()
        self._remembered: OrderedDict[tuple[TextKind, str], Vectors] = OrderedDict()
        built = cache_dir / f"e5-{self.fingerprint}"
        if not _is_built(built):
            _build(source, built)
        try:
            self._load(built, threads)
        except (EngineError, ModelCorruptError):
            # What an earlier power cut or a failing card left behind: made anew once.
            _build(source, built)
            self._load(built, threads)

    def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """Unit-norm vectors of ``texts``, float32 of shape (n, 384).

        Queries keep their first 128 tokens, passages 512. Recent vectors are remembered, so
        asking for the same text again costs nothing.

        Raises:
            EngineError: the runtime failed, or the encoder is closed.
        """
        found = self._recall(texts, kind)
        wanted = [text for text in dict.fromkeys(texts) if text not in found]
        tokens = [self._tokenize(text, kind) for text in wanted]
        for batch in _batches([len(ids) for ids in tokens]):
            vectors = self._forward([tokens[index] for index in batch])
            found.update(zip((wanted[index] for index in batch), vectors, strict=True))
        self._remember(found, kind)
        out = np.empty((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            out[row] = found[text]
        return out

    def smoke(self) -> None:
        """Check that translations lie closer together than unrelated sentences.

        Raises:
            EngineError: they do not, or the encoder cannot run at all.
        """
        texts = ("where is my order", "我的订单在哪里", "the cat sleeps on the sofa")
        vectors = self._forward([self._tokenize(text, "query") for text in texts])
        if not float(vectors[0] @ vectors[1]) > float(vectors[0] @ vectors[2]):
            raise EngineError("The encoder runs but its vectors make no sense on this machine.")

    def close(self) -> None:
        """Free the network; later calls raise :class:`EngineError`."""
        with self._lock:
            self._session = None
            self._tokenizer = None
            self._remembered.clear()

    def _load(self, built: Path, threads: int) -> None:
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # An arena would keep the largest batch's memory for ever.
        options.enable_cpu_mem_arena = False
        # Idle worker threads must not burn the cores that speech and the language model need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(built / GRAPH), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            raise EngineError(
                f"The encoder graph cannot be loaded: {_first_line(error)}"
            ) from error
        self._tokenizer = Tokenizer(self._file, built / PIECES)

    def _tokenize(self, text: str, kind: TextKind) -> list[int]:
        tokenizer = self._tokenizer
        if tokenizer is None:
            raise EngineError("The encoder is closed.")
        limit = min(_MAX_TOKENS[kind], self._file.shape.positions)
        return tokenizer.encode(_PREFIX[kind] + text, limit)

    def _forward(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        session = self._session
        if session is None:
            raise EngineError("The encoder is closed.")
        width = max(map(len, tokens))
        embeddings = np.zeros((len(tokens), width, self.dimension), np.float32)
        mask = np.zeros((len(tokens), width), np.float32)
        for row, ids in enumerate(tokens):
            size = len(ids)
            words = self._file.rows("emb.word", self.dimension, ids)
            embeddings[row, :size] = words + self._positions[:size]
            mask[row, :size] = 1.0
        try:
            (vectors,) = session.run(["vectors"], {"embeddings": embeddings, "mask": mask})
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            raise EngineError(f"The encoder failed: {_first_line(error)}") from error
        result: Vectors = vectors
        return result

    def _recall(self, texts: Sequence[str], kind: TextKind) -> dict[str, Vectors]:
        found: dict[str, Vectors] = {}
        with self._lock:
            for text in texts:
                vector = self._remembered.get((kind, text))
                if vector is not None:
                    self._remembered.move_to_end((kind, text))
                    found[text] = vector
        return found

    def _remember(self, found: Mapping[str, Vectors], kind: TextKind) -> None:
        with self._lock:
            for text, vector in found.items():
                self._remembered[(kind, text)] = vector
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indexes of texts of like length, each batch at most ``_BATCH_TOKENS`` tokens when padded."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _is_built(folder: Path) -> bool:
    return (folder / GRAPH).is_file() and (folder / PIECES).is_file()


def _build(source: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "edge_runtime.nlu.build", str(source), str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError("Building the encoder graph took too long.") from error
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise EngineError(f"The encoder graph could not be built: {reason[0]}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
