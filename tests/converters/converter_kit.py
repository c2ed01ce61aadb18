"""What the tests of this folder share: tiny GGUF files, labelled lines and an encoder of words."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundles.blobs import sha256_of
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.nlu import TextKind, Vectors

F32 = 0
ModelFiles = Callable[[str], Mapping[str, Path]]


def gguf_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(*, tensors: int = 2, metadata: bytes = b"", keys: int = 0, version: int = 3) -> bytes:
    """A sound GGUF file of ``tensors`` float32 tensors of shape (8, 4)."""
    header = b"GGUF" + struct.pack("<IQQ", version, tensors, keys + 2)
    header += gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("toy")
    header += gguf_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2)
    header += gguf_text("a") + gguf_text("b") + metadata
    for index in range(tensors):
        header += gguf_text(f"blk.{index}.weight")
        header += struct.pack("<IQQIQ", 2, 8, 4, F32, index * 128)
    return header + bytes(-len(header) % 32) + bytes(128 * tensors)


def lines(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def names(folder: Path) -> list[str]:
    """What a folder holds, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


def card_for(subject: Path, target: Path, *, accuracy: float = 0.95, floor: float = 0.9) -> Path:
    """A card about ``subject`` with one bar, as JSON at ``target``."""
    card = QualityCard(
        sha256_of(subject),
        "made up by this test",
        {"intent_accuracy": accuracy, "mean_kl": 0.01},
        {"intent_accuracy": Bar(floor), "mean_kl": Bar(0.05, "at_most")},
    )
    target.write_bytes(card.to_json())
    return target


class WordEncoder:
    """Vectors that are near when texts share words; deterministic."""

    fingerprint = "words-1"

    def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        out = np.zeros((len(texts), 64), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                out[row, zlib.crc32(word.encode()) % 64] += 1.0
            out[row, 0] += 0.1
        unit: Vectors = out / np.linalg.norm(out, axis=1, keepdims=True)
        return unit


INTENTS = {
    "order_status": ("where is my order", "track the parcel", "has my order shipped"),
    "refund": ("give me the money back", "i want a refund", "refund this coat"),
    "opening_hours": ("when do you open", "are you open on sunday", "what are the opening hours"),
}
OUTSIDE = ("how tall is the moon", "write a poem for me", "who won the match")
ENDINGS = ("", " please", " today", " now", " thanks", " then", " maybe", " again")


def labelled(*, outside: str = "out_of_scope", endings: Sequence[str] = ENDINGS) -> list[Any]:
    rows = [
        {"text": text + ending, "intent": intent, "sentiment": "neutral"}
        for intent, texts in {**INTENTS, outside: OUTSIDE}.items()
        for text in texts
        for ending in endings
    ]
    for ending in endings:
        rows.append({"text": f"this is bad and awful{ending}", "intent": "refund"})
        rows[-1]["sentiment"] = "negative"
    return rows
