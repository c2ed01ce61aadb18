"""Sound in: any file or microphone chunk to 16 kHz mono, and where speech begins and ends."""

from edge_runtime.audio.decode import decode_audio, pcm16_to_samples
from edge_runtime.audio.encode import wav_bytes
from edge_runtime.audio.format import RATE
from edge_runtime.audio.vad import (
    Endpointer,
    EndpointSettings,
    SpeechEvent,
    find_speech,
    trim_silence,
)

__all__ = [
    "RATE",
    "EndpointSettings",
    "Endpointer",
    "SpeechEvent",
    "decode_audio",
    "find_speech",
    "pcm16_to_samples",
    "trim_silence",
    "wav_bytes",
]
