"""What every speech recogniser offers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from edge_runtime.errors import AudioError
from edge_runtime.turn import Audio, Samples, Transcript

RATE = 16_000
"""Hz; the only rate recognisers take."""


@runtime_checkable
class Recognizer(Protocol):
    """Turns a whole utterance into text. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """Catalogue id of the model."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages it chooses among when not told one."""

    def transcribe(
        self,
        audio: Audio,
        *,
        language: str | None,
        hints: Sequence[str] = (),
        cancelled: threading.Event | None = None,
    ) -> Transcript:
        """Recognise one utterance.

        Args:
            audio: 16 kHz mono, best with its silence already trimmed.
            language: ISO 639-1 code, or ``None`` to detect it among ``languages``.
            hints: words to expect (product names, the shop's own terms), most important first.
            cancelled: once set, the engine stops at its next step.

        Returns:
            The text; empty with confidence 0 when nothing was said; ``final`` is False when it
            was cancelled.

        Raises:
            AudioError: not 16 kHz.
            LanguageError: the engine does not speak ``language``.
            EngineError: the engine failed or is closed.
        """

    def close(self) -> None:
        """Free the model's memory. Idempotent."""

    def smoke(self) -> None:
        """Run the engine once on made-up sound.

        Raises:
            EngineError: it does not work on this machine.
        """


class RecognitionStream(Protocol):
    """One utterance while it is being spoken. For one thread."""

    def accept(self, samples: Samples) -> Transcript | None:
        """Take the next 16 kHz samples; return the text so far when it changed."""

    def finish(self) -> Transcript:
        """The utterance is over: its final text."""


@runtime_checkable
class StreamingRecognizer(Recognizer, Protocol):
    """A recogniser that also gives partial results."""

    def stream(self, language: str | None) -> RecognitionStream:
        """Begin an utterance.

        Raises:
            LanguageError: the engine does not speak ``language``.
            EngineError: the engine is closed.
        """


def check_rate(audio: Audio) -> None:
    """Refuse sound that is not at 16 kHz.

    Raises:
        AudioError: another rate.
    """
    if audio.rate != RATE:
        raise AudioError(f"Speech can only be recognised at {RATE} Hz, not at {audio.rate} Hz.")


def hum() -> Audio:
    """A second of made-up sound for smoke tests."""
    wave = 0.1 * np.sin(np.arange(RATE) * (2 * np.pi * 150 / RATE))
    return Audio(wave.astype(np.float32), RATE)
