"""Speech synthesis: text of a reply to sound."""

from edge_runtime.tts.base import MAX_CHARS, Synthesizer
from edge_runtime.tts.registry import ENGINES, open_synthesizer
from edge_runtime.tts.router import SpeechRouter
from edge_runtime.tts.segment import SpeechSegmenter

__all__ = [
    "ENGINES",
    "MAX_CHARS",
    "SpeechRouter",
    "SpeechSegmenter",
    "Synthesizer",
    "open_synthesizer",
]
