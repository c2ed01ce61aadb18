"""Natural language understanding: clean-up, language, entities, intent, sentiment."""

from edge_runtime.nlu.base import Embedder, Progress, TextKind, Vectors
from edge_runtime.nlu.encoder import Encoder
from edge_runtime.nlu.entities import EntityExtractor
from edge_runtime.nlu.intents import examples_digest
from edge_runtime.nlu.language import detect_language
from edge_runtime.nlu.normalize import Normalizer, clean
from edge_runtime.nlu.preparing import Preparation
from edge_runtime.nlu.student import Choice, Task, TaskLabels, choose_task, load_task, released_task
from edge_runtime.nlu.understand import Understander

__all__ = [
    "Choice",
    "Embedder",
    "Encoder",
    "EntityExtractor",
    "Normalizer",
    "Preparation",
    "Progress",
    "Task",
    "TaskLabels",
    "TextKind",
    "Understander",
    "Vectors",
    "choose_task",
    "clean",
    "detect_language",
    "examples_digest",
    "load_task",
    "released_task",
]
