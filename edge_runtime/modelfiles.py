"""What the files of a model are called: a stage runs, bundles carry, converters make them."""

from __future__ import annotations

from typing import Final

GGUF: Final = "model.gguf"
ADAPTER: Final = "adapter.gguf"
"""A LoRA adapter of the language model beside it."""

WORDS: Final = "words.bin"
PIECES: Final = "pieces.npy"
TRUNK: Final = "trunk.onnx"
EMBEDDING: Final = "embedding.onnx"
TASK: Final = "task.onnx"
LABELS: Final = "labels.json"
