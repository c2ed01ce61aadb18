"""Speech recognition: engines behind ``Recognizer``, made by ``load_recognizer``."""

from edge_runtime.asr.base import (
    RATE,
    RecognitionStream,
    Recognizer,
    StreamingRecognizer,
)
from edge_runtime.asr.registry import load_recognizer

__all__ = [
    "RATE",
    "RecognitionStream",
    "Recognizer",
    "StreamingRecognizer",
    "load_recognizer",
]
