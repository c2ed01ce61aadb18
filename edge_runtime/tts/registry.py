"""Which engine serves which catalogue id. Adding an engine is one line in ``ENGINES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.tts.base import Synthesizer

Factory = Callable[[Mapping[str, Path], int], Synthesizer]


def _kokoro(files: Mapping[str, Path], threads: int) -> Synthesizer:
    from edge_runtime.tts.kokoro import KokoroSynthesizer

    return KokoroSynthesizer(files, threads)


def _espeak(_files: Mapping[str, Path], _threads: int) -> Synthesizer:
    from edge_runtime.tts.espeak import EspeakSynthesizer

    return EspeakSynthesizer()


ENGINES: Mapping[str, Factory] = {
    "kokoro-82m-int8": _kokoro,
    "espeak-ng": _espeak,
}
"""By catalogue id, or by name where an engine has no model."""


def open_synthesizer(engine: str, files: Mapping[str, Path], threads: int) -> Synthesizer:
    """Load an engine from its verified model files (none for espeak-ng).

    Raises:
        ConfigError: no such engine.
        ModelError: a file is missing or damaged.
        EngineError: it does not work on this machine.
    """
    if engine not in ENGINES:
        raise ConfigError(
            f"There is no speech engine '{engine}'.", hint=f"There are: {', '.join(ENGINES)}."
        )
    return ENGINES[engine](files, threads)
