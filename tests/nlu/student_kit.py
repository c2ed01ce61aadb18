"""A student encoder of eight words: each has a dimension of its own, so that results are known."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.student import base_fingerprint
from edge_runtime.nlu.tokenizer import piece_index

WIDTH = 32
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
WORDS = (
    "\u2581refund", "\u2581order", "\u2581blue", "\u2581jacket", "\u2581great", "\u2581awful",
    "退", "款",
)  # fmt: skip
"""Word ``i`` is 1 in dimension ``i`` and 0 elsewhere."""
PIECES = (*SPECIAL, *WORDS, "\u2581query", ":", "\u2581", *"abcdefghijklmnopqrstuvwxyz0123456789?")
INTENTS = ("out_of_scope", "give_refund", "find_order")
SENTIMENTS = ("negative", "neutral", "positive")
TAGS = ("O", "B-colour", "I-colour", "B-date")


def words_file() -> bytes:
    """An E5S1 container with nothing but what turns text into vectors."""
    text = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    scores = [-9.0 if len(piece) == 1 else -3.0 for piece in PIECES]
    head = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, 1, 1, 32, len(text), 160, 1, 1e-12, 32)
    head += struct.pack("<5iQ", len(text), 0, 2, 1, 3, len(b"".join(text)))
    mapped = b"".join(struct.pack("<IBI", ord(c), 1, ord(c.lower())) for c in "ABCDEFGHIJ")
    mapped += struct.pack("<IBII", ord("ß"), 2, ord("s"), ord("s"))
    head += offsets + np.array(scores, "<f4").tobytes() + b"".join(text)
    head += struct.pack("<iI", 11, len(mapped)) + mapped
    table = b"".join(_row(index - len(SPECIAL)) for index in range(len(PIECES)))
    zeros = np.zeros(160 * WIDTH, "<f4").tobytes()
    tensors = [
        ("emb.word", 1, len(PIECES) * WIDTH, table),
        ("emb.pos", 0, 160 * WIDTH, zeros),
        ("emb.type", 0, WIDTH, zeros[: 4 * WIDTH]),
    ]
    start = len(head) + 4 + sum(2 + len(name) + 21 for name, *_ in tensors)
    directory, data = struct.pack("<i", len(tensors)), b""
    for name, kind, elements, content in tensors:
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, elements, start + len(data), len(content))
        data += content
    return head + directory + data


def _row(word: int) -> bytes:
    nibbles = np.full(WIDTH, 8, np.uint8)
    if 0 <= word < len(WORDS):
        nibbles[word] = 9
    return struct.pack("<e", 1.0) + (nibbles[:16] | nibbles[16:] << 4).tobytes()


def graph(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[Any]],
    outputs: Mapping[str, Sequence[Any]],
    constants: Mapping[str, Any] | None = None,
) -> bytes:
    def infos(named: Mapping[str, Sequence[Any]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in named.items()
        ]

    held = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in (constants or {}).items()
    ]
    made = helper.make_graph(list(nodes), "kit", infos(inputs), infos(outputs), held)
    opset = [helper.make_opsetid("", 20)]
    return bytes(helper.make_model(made, opset_imports=opset, ir_version=10).SerializeToString())


HIDDEN = ("batch", "tokens", WIDTH)


def trunk() -> bytes:
    nodes = [helper.make_node("Identity", ["embeddings"], ["hidden"])]
    return graph(nodes, {"embeddings": HIDDEN}, {"hidden": HIDDEN})


def embedding() -> bytes:
    nodes = [
        helper.make_node("ReduceSum", ["hidden", "axis"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "little"], ["moved"]),
        helper.make_node("LpNormalization", ["moved"], ["vectors"], axis=-1, p=2),
    ]
    constants = {"axis": np.array([1], np.int64), "little": np.array([1e-6], np.float32)}
    return graph(nodes, {"hidden": HIDDEN}, {"vectors": ("batch", WIDTH)}, constants)


def heads(
    *,
    intents: int = len(INTENTS),
    sentiments: int = len(SENTIMENTS),
    tags: int = len(TAGS),
    extra_input: str = "",
    factor: float = 1.0,
) -> bytes:
    """Intents and sentiments by the words there are, tags by the word a token is."""
    by_intent = _matrix({("refund", 1): 8, ("退", 1): 8, ("款", 1): 8, ("order", 2): 8}, 16)
    by_feeling = _matrix({("awful", 0): 5, ("great", 2): 5}, 16)
    by_tag = _matrix({("blue", 1): 4, ("jacket", 2): 4, ("refund", 3): 4}, 16)
    nodes = [helper.make_node("ReduceSum", ["hidden", "axis"], ["sum"], keepdims=0)]
    outputs: dict[str, Sequence[Any]] = {}
    constants: dict[str, Any] = {"axis": np.array([1], np.int64)}
    for name, source, weights, bias, size in (
        ("intent", "sum", by_intent * factor, [3.0, 0, 0], intents),
        ("sentiment", "sum", by_feeling, [0, 2.0, 0], sentiments),
        ("entities", "hidden", by_tag, [2.0, 0, 0, 0], tags),
    ):
        if not size:
            continue
        offset = np.zeros(size, np.float32)
        offset[: min(size, len(bias))] = bias[:size]
        constants |= {f"{name}.w": weights[:, :size].astype(np.float32), f"{name}.b": offset}
        nodes.append(helper.make_node("MatMul", [source, f"{name}.w"], [f"{name}.x"]))
        nodes.append(helper.make_node("Add", [f"{name}.x", f"{name}.b"], [name]))
        rows = ("batch", "tokens") if name == "entities" else ("batch",)
        outputs[name] = (*rows, size)
    inputs: dict[str, Sequence[Any]] = {"hidden": HIDDEN}
    if extra_input:
        inputs[extra_input] = ("batch",)
    return graph(nodes, inputs, outputs, constants)


def _matrix(values: Mapping[tuple[str, int], float], columns: int) -> np.ndarray:
    matrix = np.zeros((WIDTH, columns), np.float32)
    names = [word.strip("\u2581") for word in WORDS]
    for (word, column), value in values.items():
        matrix[names.index(word), column] = value
    return matrix


def write_base(folder: Path) -> dict[str, Path]:
    """The files of the base by name."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"words.bin": words_file(), "trunk.onnx": trunk(), "embedding.onnx": embedding()}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    np.save(folder / "pieces.npy", piece_index(E5File(folder / "words.bin").vocabulary))
    return {path.name: path for path in folder.iterdir()}


def write_task(
    folder: Path, base: Mapping[str, Path], content: bytes | None = None, **changed: Any
) -> dict[str, Path]:
    """``task.onnx`` (with ``content``) and its labels (with fields ``changed``)."""
    folder.mkdir(parents=True, exist_ok=True)
    content = heads() if content is None else content
    (folder / "task.onnx").write_bytes(content)
    labels = {
        "schema": 2,
        "encoder": base_fingerprint(base),
        "intents": INTENTS,
        "sentiments": SENTIMENTS,
        "tags": TAGS,
        "threshold": 0.5,
        "calibration": [1.0, 0.0, 0.0, 0.0],
        "sentiment_temperature": 1.0,
        "heads": {"task.onnx": hashlib.sha256(content).hexdigest()},
        "pack": None,
    }
    (folder / "labels.json").write_text(json.dumps({**labels, **changed}))
    return {name: folder / name for name in ("task.onnx", "labels.json")}


def write_manifest(folder: Path, name: str, *, min_runtime: str = "0.1.0") -> Path:
    """``folder`` as a bundle: its files below ``files/`` and the manifest that lists them."""
    components = tuple(
        Component(
            path.name,
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.suffix.removeprefix("."),
            "test",
        )
        for path in (folder / "files").iterdir()
    )
    manifest = BundleManifest(name, "1", min_runtime, components)
    (folder / "manifest.json").write_bytes(manifest.to_json())
    return folder
