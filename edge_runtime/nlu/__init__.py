"""Natural language understanding: clean-up, language, entities, intent, sentiment."""

from edge_runtime.nlu.base import Embedder, Progress, TextKind, Vectors
from edge_runtime.nlu.encoder import Encoder
from edge_runtime.nlu.entities import EntityExtractor
from edge_runtime.nlu.language import detect_language
from edge_runtime.nlu.normalize import Normalizer, clean
from edge_runtime.nlu.understand import Understander

__all__ = [
    "Embedder",
    "Encoder",
    "EntityExtractor",
    "Normalizer",
    "Progress",
    "TextKind",
    "Understander",
    "Vectors",
    "clean",
    "detect_language",
]
