"""Samples to WAV bytes."""

from __future__ import annotations

import wave
from io import BytesIO

import numpy as np

from edge_runtime.turn import Audio


def wav_bytes(audio: Audio) -> bytes:
    """A mono 16-bit PCM WAV file; samples outside [-1, 1] are clipped."""
    pcm = np.round(np.clip(audio.samples, -1.0, 1.0) * 32767.0).astype("<i2")
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(audio.rate)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()
