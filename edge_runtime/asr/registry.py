"""Which engine serves which catalogue id. Adding an engine is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edge_runtime.asr.base import Recognizer
from edge_runtime.errors import ConfigError

_VOSK_LANGUAGE = {"cn": "zh", "jp": "ja"}
"""Vosk names some models after the country."""

Factory = Callable[[str, Mapping[str, Path], int, Sequence[str]], Recognizer]


def _whisper(
    model_id: str, files: Mapping[str, Path], threads: int, languages: Sequence[str]
) -> Recognizer:
    from edge_runtime.asr.whisper import WhisperRecognizer

    return WhisperRecognizer(files, threads, languages=languages, name=model_id)


def _vosk(
    model_id: str, files: Mapping[str, Path], threads: int, languages: Sequence[str]
) -> Recognizer:
    from edge_runtime.asr.vosk import VoskRecognizer, model_folder

    country = model_id.rpartition("-")[2]
    return VoskRecognizer(
        model_folder(files, model_id), _VOSK_LANGUAGE.get(country, country), name=model_id
    )


ENGINES: dict[str, Factory] = {
    "whisper": _whisper,
    "vosk": _vosk,
}
"""By the first part of the catalogue id ("whisper-base", "vosk-ko")."""


def load_recognizer(
    model_id: str, files: Mapping[str, Path], *, threads: int, languages: Sequence[str]
) -> Recognizer:
    """Load the engine for a catalogued model.

    Args:
        model_id: catalogue id; its first part names the engine.
        files: the model's verified files, by name inside the model.
        threads: CPU threads a transcription may use.
        languages: those to choose among when the language is not given (the pack's).

    Raises:
        ConfigError: no engine of that name.
        ModelMissingError, ModelCorruptError: the files are not what the engine needs.
    """
    factory = ENGINES.get(model_id.partition("-")[0])
    if factory is None:
        raise ConfigError(
            f"No speech recognition engine serves '{model_id}'.",
            hint=f"Known engines: {', '.join(ENGINES)}.",
        )
    return factory(model_id, files, threads, languages)
