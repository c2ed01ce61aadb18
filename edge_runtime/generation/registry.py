"""Which engine runs a language model, told by its files. Adding an engine is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.generation.base import LanguageModel
from edge_runtime.modelfiles import GGUF

Factory = Callable[[Mapping[str, Path], int], LanguageModel]


def _llama(files: Mapping[str, Path], threads: int) -> LanguageModel:
    from edge_runtime.generation.llama import LlamaModel

    return LlamaModel(files, threads=threads)


def _onnx(files: Mapping[str, Path], threads: int) -> LanguageModel:
    from edge_runtime.generation.onnx import OnnxModel

    return OnnxModel(files, threads=threads)


ENGINES: dict[str, Factory] = {
    GGUF: _llama,
    "model.onnx": _onnx,
}
"""By the file that only this engine's models have."""


def load_language_model(files: Mapping[str, Path], *, threads: int) -> LanguageModel:
    """Load the engine for a model.

    Args:
        files: the model's verified files, by name inside the model.
        threads: CPU threads.

    Raises:
        ConfigError: no engine runs such files.
        EngineError: the engine refuses them.
    """
    factory = next((ENGINES[name] for name in ENGINES if name in files), None)
    if factory is None:
        raise ConfigError(
            "No engine runs this language model.",
            hint=f"One of its files has to be {' or '.join(ENGINES)}.",
        )
    return factory(files, threads)
