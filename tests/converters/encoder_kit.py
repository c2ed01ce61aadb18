"""A whole encoder of two small layers with random weights, and the student made from it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from nlu.student_kit import PIECES

from converters.dataset import Row
from converters.encoder import vocabulary
from converters.encoder.student import make_student
from converters.train_nlu import Device
from edge_runtime.bundles import bundle_files
from edge_runtime.config import load_settings

# A vocabulary of fifty pieces is not chosen better by forty thousand words of each language.
vocabulary._WORDS = 300  # type: ignore[misc]

WIDTH, LAYERS, HEADS, INNER, PLACES = 32, 2, 2, 64, 160
_FLOAT, _FOUR_BITS = 0, 1


def tiny_e5(path: Path, seed: int = 0) -> Path:
    """An E5S1 file as :mod:`edge_runtime.nlu.e5file` describes it."""
    random = np.random.default_rng(seed)
    text = [piece.encode() for piece in PIECES]
    head = b"E5S1" + struct.pack("<I7i", 1, WIDTH, LAYERS, HEADS, INNER, len(text), PLACES, 1)
    head += struct.pack("<fi5iQ", 1e-12, 32, len(text), 0, 2, 1, 3, len(b"".join(text)))
    scores = [-9.0 if len(piece) == 1 else -3.0 for piece in PIECES]
    head += np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    head += np.array(scores, "<f4").tobytes() + b"".join(text)
    mapped = b"".join(struct.pack("<IBI", ord(c), 1, ord(c.lower())) for c in "ABCDEFGHIJ")
    head += struct.pack("<iI", 10, len(mapped)) + mapped
    tensors = [
        ("emb.word", _FOUR_BITS, _blocks(random, len(text), WIDTH, 0.1)),
        ("emb.pos", _FLOAT, _floats(random.normal(0, 0.02, PLACES * WIDTH))),
        ("emb.type", _FLOAT, _floats(np.zeros(WIDTH))),
        *_norm("emb.ln"),
    ]
    for layer in range(LAYERS):
        shapes = dict.fromkeys(("q", "k", "v", "ao"), (WIDTH, WIDTH))
        shapes |= {"fi": (INNER, WIDTH), "fo": (WIDTH, INNER)}
        for part, (rows, columns) in shapes.items():
            content = _blocks(random, rows, columns, 0.05)
            tensors.append((f"l{layer}.{part}.w", _FOUR_BITS, content))
            tensors.append((f"l{layer}.{part}.b", _FLOAT, _floats(np.zeros(rows))))
        tensors += [*_norm(f"l{layer}.aln"), *_norm(f"l{layer}.oln")]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + _directory(tensors, len(head)))
    return path


def said(*texts: str, language: str | None = None) -> list[Row]:
    """What customers say, unlabelled."""
    return [
        Row(line, text, None, sentiment=None, entities=None, language=language)
        for line, text in enumerate(texts, 1)
    ]


def tiny_device(folder: Path) -> Device:
    """What heads are trained for in tests; the pack is ``retail``."""
    source = tiny_e5(folder / "e5.bin")
    if not (folder / "base").exists():
        make_student(source, said("refund order jacket"), folder / "base", pieces=len(PIECES))
    return Device(bundle_files(folder / "base"), source, load_settings(pack="retail"))


def _blocks(random: np.random.Generator, rows: int, columns: int, scale: float) -> bytes:
    count = rows * columns // 32
    nibbles = random.integers(0, 16, (count, 32)).astype(np.uint8)
    packed = nibbles[:, :16] | nibbles[:, 16:] << 4
    scales = np.full((count, 1), scale, "<f2").view(np.uint8).reshape(count, 2)
    return np.concatenate([scales, packed], axis=1).tobytes()


def _floats(values: np.ndarray) -> bytes:
    return values.astype("<f4").tobytes()


def _norm(name: str) -> list[tuple[str, int, bytes]]:
    ones, zeros = _floats(np.ones(WIDTH)), _floats(np.zeros(WIDTH))
    return [(f"{name}.w", _FLOAT, ones), (f"{name}.b", _FLOAT, zeros)]


def _directory(tensors: list[tuple[str, int, bytes]], start: int) -> bytes:
    at = start + 4 + sum(2 + len(name) + struct.calcsize("<BIQQ") for name, *_ in tensors)
    listed, data = struct.pack("<i", len(tensors)), b""
    for name, kind, content in tensors:
        elements = len(content) // 4 if kind == _FLOAT else len(content) // 18 * 32
        listed += struct.pack("<H", len(name)) + name.encode()
        listed += struct.pack("<BIQQ", kind, elements, at + len(data), len(content))
        data += content
    return listed + data
