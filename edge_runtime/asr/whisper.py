"""Whisper (Radford et al. 2022, https://arxiv.org/abs/2212.04356) through faster-whisper.

Whisper was trained on windows of 30 seconds, and encoding one costs the same whether three
seconds of it are speech or all. Here a window is only as long as the speech and a tail of
silence. Such a window sometimes makes the decoder say a phrase twice; that is recognised, and the
piece is decoded again in a full window. All decoding is beam search at temperature 0: the same
sound always gives the same text.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.asr.base import RATE, check_rate, hum
from edge_runtime.asr.prompt import initial_prompt, is_echo
from edge_runtime.asr.text import tidy
from edge_runtime.asr.window import (
    FULL_WINDOW,
    TAIL,
    Hearing,
    decode,
    detect_language,
    encode,
    window_seconds,
)
from edge_runtime.errors import EngineError, LanguageError, ModelCorruptError, ModelMissingError
from edge_runtime.turn import Audio, Samples, Transcript

if TYPE_CHECKING:
    from faster_whisper import WhisperModel  # type: ignore[import-untyped]

FILES = ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt")
PIECE = int((FULL_WINDOW - TAIL) * RATE)
"""Samples; longer utterances are cut at their quietest moment before this."""
MIN_SAMPLES = RATE // 10
"""Less than a tenth of a second is not a word."""


class WhisperRecognizer:
    """Speech recognition with a Whisper model converted to CTranslate2.

    Args:
        files: the verified files config.json, model.bin, tokenizer.json and vocabulary.txt, all
            in one folder.
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
        known = self._model.supported_languages
        self.languages = tuple(code for code in languages if code in known) or tuple(known[:1])

    def transcribe(
        self,
        audio: Audio,
        *,
        language: str | None,
        hints: Sequence[str] = (),
        cancelled: threading.Event | None = None,
    ) -> Transcript:
        """Recognise an utterance of any length; see ``Recognizer.transcribe``.

        Hints are used where they are in the script of the language spoken.
        """
        check_rate(audio)
        model = self._loaded()
        if language is not None and language not in model.supported_languages:
            raise LanguageError(f"The speech model '{self.name}' does not know '{language}'.")
        cancelled = cancelled or threading.Event()
        heard: list[tuple[Hearing, int]] = []
        try:
            for piece in _pieces(audio.samples):
                if cancelled.is_set():
                    break
                language, hearing = self._hear(model, piece, language, hints, cancelled)
                heard.append((hearing, len(piece)))
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"Speech recognition '{self.name}' failed: {error}.") from error
        return _joined(heard, language or self.languages[0], final=not cancelled.is_set())

    def close(self) -> None:
        """Free the model's memory; later calls raise EngineError."""
        self._model = None

    def smoke(self) -> None:
        """Transcribe one second of a hum.

        Raises:
            EngineError: the engine does not work on this machine.
        """
        self.transcribe(hum(), language=None)

    def _hear(
        self,
        model: WhisperModel,
        piece: Samples,
        language: str | None,
        hints: Sequence[str],
        cancelled: threading.Event,
    ) -> tuple[str, Hearing]:
        """The piece's language and text, from a short window or, when in doubt, a full one."""
        seconds = len(piece) / RATE
        window = window_seconds(piece)
        encoded = encode(model, piece, window)
        language = language or detect_language(model, encoded, self.languages)
        prompt = initial_prompt(language, hints)
        hearings = [decode(model, encoded, language, prompt, seconds)]
        if hearings[0].doubtful and not cancelled.is_set():
            if window < FULL_WINDOW:
                encoded = encode(model, piece, FULL_WINDOW)
                hearings.append(decode(model, encoded, language, prompt, seconds))
            if hearings[-1].doubtful and prompt and not cancelled.is_set():
                hearings.append(decode(model, encoded, language, "", seconds))
        best = max(hearings, key=lambda h: (not h.repetitive, h.logprob))
        return language, replace(best, text="") if is_echo(best.text, language) else best

    def _loaded(self) -> WhisperModel:
        if self._model is None:
            raise EngineError(f"The speech model '{self.name}' has been closed.")
        return self._model


def _load(files: Mapping[str, Path], threads: int, name: str) -> WhisperModel:
    for file in FILES:
        if file not in files or not files[file].is_file():
            raise ModelMissingError(
                f"The speech model '{name}' lacks its file {file}.",
                hint="Run 'edge-runtime models pull'.",
            )
    folder = files[FILES[0]].parent
    if any(files[file] != folder / file for file in FILES):
        raise ModelCorruptError(f"The files of the speech model '{name}' are not in one folder.")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from faster_whisper import WhisperModel

    try:
        return WhisperModel(
            str(folder),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            num_workers=1,
            local_files_only=True,
        )
    # The tokenizers library raises plain Exception for a file that it cannot parse.
    except Exception as error:
        raise ModelCorruptError(
            f"The speech model '{name}' cannot be loaded: {error}.",
            hint="Run 'edge-runtime models verify'.",
        ) from error


def _pieces(samples: Samples) -> Iterator[Samples]:
    """``samples`` in pieces that fit a window, cut where it is quietest."""
    frame = RATE // 50
    while len(samples) > PIECE:
        search = samples[PIECE // 2 : PIECE]
        loudness = np.square(search[: len(search) // frame * frame].reshape(-1, frame)).sum(axis=1)
        cut = PIECE // 2 + int(loudness.argmin()) * frame + frame // 2
        yield samples[:cut]
        samples = samples[cut:]
    if len(samples) >= MIN_SAMPLES:
        yield samples


def _joined(heard: Sequence[tuple[Hearing, int]], language: str, *, final: bool) -> Transcript:
    """One transcript of all pieces; confidence is the mean token probability, by length."""
    spoken = [(hearing, length) for hearing, length in heard if not hearing.nothing]
    if not spoken:
        return Transcript("", language, 0.0, final=final)
    total = sum(length for _, length in spoken)
    logprob = sum(hearing.logprob * length for hearing, length in spoken) / total
    text = ("" if language in {"zh", "ja"} else " ").join(hearing.text for hearing, _ in spoken)
    return Transcript(tidy(text, language), language, min(1.0, math.exp(logprob)), final=final)
