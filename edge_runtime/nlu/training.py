"""Trains a head in a child process, once for each state of the examples, encoder and trainer."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np

from edge_runtime.errors import EngineError
from edge_runtime.nlu.base import Embedder
from edge_runtime.nlu.files import write_atomically

Head = TypeVar("Head")
# Part of the cache key: raise it whenever training would come out differently.
TRAINER_VERSION: Final = 1
_TIMEOUT_S: Final = 600


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled utterance; examples that say the same share ``group``.

    A ``general`` one is not the pack's own and gives way to it.
    """

    text: str
    label: str
    group: int
    general: bool = False


def trained(
    name: Literal["intents", "sentiment"],
    examples: Sequence[Example],
    encoder: Embedder,
    cache_dir: Path,
    load: Callable[[bytes], Head],
) -> Head:
    """The head for ``examples``, from the cache or trained now.

    Raises:
        EngineError: training failed.
        StorageError: the cache folder cannot be written.
    """
    path = cache_dir / f"{name}-{_key(examples, encoder.fingerprint)}.npz"
    if path.is_file():
        try:
            return load(path.read_bytes())
        except EngineError:
            # A damaged cache is not worth a failed start: it is made anew below.
            path.unlink(missing_ok=True)
    content = _train(name, examples, encoder)
    head = load(content)
    write_atomically(path, content)
    return head


def _key(examples: Sequence[Example], fingerprint: str) -> str:
    state = [TRAINER_VERSION, fingerprint, [astuple(example) for example in examples]]
    return hashlib.sha256(json.dumps(state).encode("utf-8")).hexdigest()[:32]


def _train(name: str, examples: Sequence[Example], encoder: Embedder) -> bytes:
    vectors = encoder.encode([example.text for example in examples], "query")
    job = io.BytesIO()
    np.savez(
        job,
        allow_pickle=False,
        vectors=vectors,
        labels=np.array([example.label for example in examples]),
        groups=np.array([example.group for example in examples], np.int64),
        general=np.array([example.general for example in examples], np.bool_),
    )
    with tempfile.TemporaryDirectory(prefix="edge-nlu-") as folder:
        source, out = Path(folder) / "job.npz", Path(folder) / "head.npz"
        source.write_bytes(job.getvalue())
        command = [sys.executable, "-m", "edge_runtime.nlu.train", name, str(source), str(out)]
        # More threads than one only fight over matrices this small.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"Training the {name} classifier took too long.") from error
        if done.returncode or not out.is_file():
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise EngineError(f"Training the {name} classifier failed: {reason[0]}")
        return out.read_bytes()
