"""multilingual-e5-small as it comes in one file: 4-bit weights, its graph built on the device."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_runtime.errors import EngineError, ModelCorruptError
from edge_runtime.nlu.base import Vectors
from edge_runtime.nlu.build import BUILDER_VERSION, GRAPH, PIECES
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.files import sha256
from edge_runtime.nlu.session import Session
from edge_runtime.nlu.tokenizer import Tokenizer

MODEL_FILE: Final = "e5-small-q4.bin"
_BUILD_TIMEOUT_S: Final = 300


class E5Network:
    """The whole encoder as one graph; built once into ``cache_dir``, in a child process.

    Raises:
        ModelCorruptError: the model file is not sound.
        StorageError: the cache folder cannot be written.
        EngineError: the graph cannot be built or loaded.
    """

    batch_tokens: Final = 256

    def __init__(self, files: Mapping[str, Path], cache_dir: Path, threads: int) -> None:
        source = files[MODEL_FILE]
        self.words = E5File(source)
        self.fingerprint = f"{sha256(source)[:32]}-{BUILDER_VERSION}"
        built = cache_dir / f"e5-{self.fingerprint}"
        if not ((built / GRAPH).is_file() and (built / PIECES).is_file()):
            _build(source, built)
        try:
            self._load(built, threads)
        except (EngineError, ModelCorruptError):
            # What an earlier power cut or a failing card left behind: made anew once.
            _build(source, built)
            self._load(built, threads)

    def _load(self, built: Path, threads: int) -> None:
        self._session = Session(built / GRAPH, threads, "encoder")
        self.tokenizer = Tokenizer(self.words, built / PIECES)

    def vectors(self, embeddings: Vectors, mask: Vectors) -> Vectors:
        """Unit-norm vectors (batch, dimension)."""
        return self._session.run(["vectors"], {"embeddings": embeddings, "mask": mask})[0]


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
