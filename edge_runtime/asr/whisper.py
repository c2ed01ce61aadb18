"""Whisper (Radford et al. 2022, https://arxiv.org/abs/2212.04356) through faster-whisper.

Whisper was trained on 30-second windows, and its encoder costs the same for three seconds of
speech as for thirty. Here a window is only as long as the speech and a tail of silence; such a
window sometimes makes the decoder say a phrase twice, which is recognised and decoded again in a
full window. Decoding is beam search at temperature 0 throughout: the same sound always gives the
same text.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.asr.base import RATE, check_rate
from edge_runtime.asr.prompt import initial_prompt
from edge_runtime.asr.text import is_repetitive, tidy
from edge_runtime.errors import EngineError, LanguageError, ModelCorruptError, ModelMissingError
from edge_runtime.turn import Audio, Samples, Transcript

if TYPE_CHECKING:
    import ctranslate2  # type: ignore[import-untyped]
    from faster_whisper import WhisperModel  # type: ignore[import-untyped]

FILES = ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt")

FULL_WINDOW = 30.0
"""Seconds; what the network was trained on and the most that it takes."""
MIN_WINDOW = 5.0
TAIL = 2.0
"""Seconds of silence after the speech; with less the decoder often misses the end."""

BEAM = 5
MAX_TOKENS_A_SECOND = 12
"""No language is spoken faster; a decoder that loops is stopped there."""
MAX_TOKENS = 448
PROMPT_TOKENS = 100
MIN_LOGPROB = -1.0
"""Average log-probability below which a decoding is tried again, Whisper's own threshold."""
NO_SPEECH = 0.6
"""Probability of no speech above which a doubtful decoding is dropped, Whisper's own threshold."""
MIN_SECONDS = 0.1


class WhisperRecognizer:
    """Speech recognition with a Whisper model converted to CTranslate2.

    Args:
        files: the verified files config.json, model.bin, tokenizer.json, vocabulary.txt.
        threads: CPU threads a transcription may use.
        languages: those to choose among when the language is not given.
        name: catalogue id of the model.

    Raises:
        ModelMissingError: a file is not there.
        ModelCorruptError: the files do not make up a Whisper model.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        threads: int,
        *,
        languages: Sequence[str] = ("zh", "en", "es"),
        name: str = "whisper",
    ) -> None:
        self.name = name
        self._model: WhisperModel | None = _load(files, threads, name)
        spoken = self._model.supported_languages
        self.languages = tuple(code for code in languages if code in spoken) or tuple(spoken[:1])

    def transcribe(
        self,
        audio: Audio,
        *,
        language: str | None,
        hints: Sequence[str] = (),
        cancelled: threading.Event | None = None,
    ) -> Transcript:
        """Recognise an utterance of any length; see ``Recognizer.transcribe``."""
        check_rate(audio)
        model = self._loaded()
        if language is not None and language not in model.supported_languages:
            raise LanguageError(
                f"The speech model '{self.name}' does not know the language '{language}'.",
                hint=f"It knows: {', '.join(model.supported_languages)}.",
            )
        heard: list[tuple[str, float, float]] = []
        stopped = False
        try:
            for piece in _pieces(audio.samples):
                decoder = _Decoder(model, piece, language or self._only_language())
                if decoder.language is None:
                    decoder.language = self._detect(decoder)
                language = decoder.language
                text, logprob = decoder.decode(hints, cancelled)
                heard.append((text, logprob, len(piece)))
                if stopped := cancelled is not None and cancelled.is_set():
                    break
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"Speech recognition '{self.name}' failed: {error}.") from error
        return _join(heard, language or self.languages[0], final=not stopped)

    def close(self) -> None:
        """Free the model's memory; later calls raise EngineError."""
        self._model = None

    def smoke(self) -> None:
        """Transcribe one second of a hum.

        Raises:
            EngineError: the engine does not work on this machine.
        """
        hum = 0.1 * np.sin(np.arange(RATE, dtype=np.float32) * np.float32(2 * np.pi * 150 / RATE))
        self.transcribe(Audio(hum.astype(np.float32), RATE), language=None)

    def _loaded(self) -> WhisperModel:
        if self._model is None:
            raise EngineError(f"The speech model '{self.name}' has been closed.")
        return self._model
