"""Vosk (Kaldi, https://alphacephei.com/vosk): small models with real streaming results."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.asr.base import RATE, RecognitionStream, check_rate, hum
from edge_runtime.asr.text import tidy
from edge_runtime.errors import EngineError, LanguageError, ModelCorruptError, ModelMissingError
from edge_runtime.turn import Audio, Samples, Transcript

if TYPE_CHECKING:
    from vosk import KaldiRecognizer, Model  # type: ignore[import-untyped]

REQUIRED = ("am/final.mdl", "conf/mfcc.conf", "conf/model.conf")
CHUNK = RATE // 5
"""Samples between two looks at whether the caller has cancelled."""


class VoskRecognizer:
    """Speech recognition with one Vosk model, which speaks one language.

    Hints are not used: Vosk can only be restricted to a list of words, not inclined towards it.

    Args:
        folder: the verified model folder (``am/``, ``conf/``, ``graph/``, …).
        language: what the model speaks, ISO 639-1.
        name: catalogue id of the model.

    Raises:
        ModelMissingError: a part of the model is not there.
        ModelCorruptError: Vosk cannot load it.
    """

    def __init__(self, folder: Path, language: str, *, name: str = "vosk") -> None:
        self.name = name
        self.languages: tuple[str, ...] = (language,)
        self._model: Model | None = _load(folder, name)

    def stream(self, language: str | None) -> RecognitionStream:
        """Begin an utterance; see ``StreamingRecognizer.stream``."""
        return self._stream(language)

    def transcribe(
        self,
        audio: Audio,
        *,
        language: str | None,
        hints: Sequence[str] = (),
        cancelled: threading.Event | None = None,
    ) -> Transcript:
        """Recognise a whole utterance; see ``Recognizer.transcribe``."""
        check_rate(audio)
        stream = self._stream(language)
        for start in range(0, len(audio.samples), CHUNK):
            if cancelled is not None and cancelled.is_set():
                return stream.heard(final=False)
            stream.accept(audio.samples[start : start + CHUNK])
        return stream.finish()

    def close(self) -> None:
        """Free the model's memory; later calls raise EngineError."""
        self._model = None

    def smoke(self) -> None:
        """Recognise one second of a hum.

        Raises:
            EngineError: the engine does not work on this machine.
        """
        self.transcribe(hum(), language=None)

    def _stream(self, language: str | None) -> VoskStream:
        if self._model is None:
            raise EngineError(f"The speech model '{self.name}' has been closed.")
        if language not in {None, *self.languages}:
            raise LanguageError(
                f"The speech model '{self.name}' speaks '{self.languages[0]}', not '{language}'."
            )
        return VoskStream(self._model, self.languages[0])


class VoskStream:
    """One utterance being recognised while it is spoken."""

    def __init__(self, model: Model, language: str) -> None:
        from vosk import KaldiRecognizer

        self._recognizer: KaldiRecognizer = KaldiRecognizer(model, RATE)
        self._recognizer.SetWords(True)
        self._language = language
        self._texts: list[str] = []
        self._confidences: list[float] = []
        self._last = ""

    def accept(self, samples: Samples) -> Transcript | None:
        """Take the next samples; return the text so far when it changed.

        Raises:
            EngineError: Vosk refused the samples.
        """
        pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
        try:
            ended = self._recognizer.AcceptWaveform(pcm.tobytes())
        except Exception as error:  # Vosk raises nothing more specific.
            raise EngineError(f"Speech recognition failed: {error}.") from error
        partial = ""
        if ended:
            self._keep(self._recognizer.Result())
        else:
            partial = json.loads(self._recognizer.PartialResult())["partial"]
        heard = self.heard(partial, final=False)
        if heard.text == self._last:
            return None
        self._last = heard.text
        return heard

    def finish(self) -> Transcript:
        """The final text of the utterance."""
        self._keep(self._recognizer.FinalResult())
        return self.heard(final=True)

    def heard(self, partial: str = "", *, final: bool) -> Transcript:
        """What is certain so far, followed by ``partial``; confidence is that of the certain."""
        text = " ".join(filter(None, [*self._texts, partial]))
        if self._language in {"zh", "ja"}:
            text = text.replace(" ", "")  # Vosk separates words in every language.
        confidence = float(np.mean(self._confidences)) if self._confidences else 0.0
        return Transcript(tidy(text, self._language), self._language, confidence, final=final)

    def _keep(self, result: str) -> None:
        parsed = json.loads(result)
        if parsed["text"]:
            self._texts.append(parsed["text"])
            self._confidences.extend(word["conf"] for word in parsed.get("result", ()))


def model_folder(files: Mapping[str, Path], name: str) -> Path:
    """The folder that holds ``files`` under their own relative names.

    Raises:
        ModelMissingError: the acoustic model is not among them.
    """
    inside = REQUIRED[0]
    if inside not in files:
        raise ModelMissingError(
            f"The speech model '{name}' lacks its file {inside}.",
            hint="Run 'edge-runtime models pull'.",
        )
    return files[inside].parents[len(PurePosixPath(inside).parts) - 1]


def _load(folder: Path, name: str) -> Model:
    # Kaldi ends the whole process on some incomplete models.
    for part in REQUIRED:
        if not (folder / part).is_file():
            raise ModelMissingError(
                f"The speech model '{name}' lacks its file {part}.",
                hint="Run 'edge-runtime models pull'.",
            )
    import vosk

    vosk.SetLogLevel(-1)
    try:
        return vosk.Model(str(folder))
    except Exception as error:  # Vosk raises nothing more specific.
        raise ModelCorruptError(
            f"The speech model '{name}' cannot be loaded: {error}.",
            hint="Run 'edge-runtime models verify'.",
        ) from error
