"""Bytes on the wire for a model retrained by a LoRA: ``python -m bench delta``.

``python -m bench.delta --pair OLD NEW --adapter FILE`` measures two real models and the adapter
that made one of the other. Without a pair:

Makes a GGUF model of a small transformer's shape, changes the tensors
that the recipes' adapters touch by a random low-rank update of the given size in every block, and
requantises each to its own type. Prints a JSON object with the bytes of the whole file, of ``zstd
--patch-from`` (the old file as a dictionary, long matches), of the tensor-aware delta, and of the
adapter alone, each also as a share of the whole file.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zstandard

from edge_runtime.bundles.blobs import sha256_of
from sync.delta import apply_delta, make_delta

_RANK = 16
_LEVEL = 19
_PAIR_LEVEL = 3
"""Whole models: weights hardly compress at any level, and high ones take an hour."""
_Q8_0, _F16 = 8, 1
_LAYERS, _WIDTH, _INNER = 4, 256, 768
_STEP = 0.02
"""Relative size of the change: what a LoRA of the recipe's rate moves a weight by (RMS)."""


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rank", type=int, default=_RANK)
    parser.add_argument("--step", type=float, default=_STEP)
    parser.add_argument("--pair", type=Path, nargs=2, metavar=("OLD", "NEW"))
    parser.add_argument("--adapter", type=Path)
    options = parser.parse_args(arguments)
    if options.pair:
        old, new = options.pair
        adapter = options.adapter.stat().st_size if options.adapter else None
        with tempfile.TemporaryDirectory() as scratch:
            pair = _compared(old, new, adapter, Path(scratch), level=_PAIR_LEVEL)
        sys.stdout.write(json.dumps({"old": old.name, "new": new.name, **pair}) + "\n")
        return 0
    found = [measure(kind, options.rank, options.step) for kind in ("q8_0", "f16")]
    sys.stdout.write(json.dumps({"rank": options.rank, "step": options.step, "models": found}))
    sys.stdout.write("\n")
    return 0


def measure(kind: str, rank: int, step: float) -> dict[str, object]:
    """Sizes in bytes for one model and its retrained self, and shares of the whole file."""
    chance = np.random.default_rng(20261125)
    tensors, retrained, adapter = _models(chance, rank, step)
    with tempfile.TemporaryDirectory() as scratch:
        old, new = Path(scratch) / "old", Path(scratch) / "new"
        old.write_bytes(_gguf(tensors, kind))
        new.write_bytes(_gguf(retrained, kind))
        return {"type": kind, **_compared(old, new, adapter, Path(scratch), level=_LEVEL)}


def _compared(
    old: Path, new: Path, adapter: int | None, scratch: Path, *, level: int
) -> dict[str, object]:
    delta, made = scratch / "delta", scratch / "made"
    whole = new.stat().st_size
    sizes = {
        "whole file": whole,
        "whole file, zstd": len(_zstd(new.read_bytes(), None, level)),
        "zstd patch-from": len(_zstd(new.read_bytes(), old.read_bytes(), level)),
        "tensor-aware delta": make_delta(old, new, delta),
    }
    if adapter is not None:
        sizes["adapter only"] = adapter
    with delta.open("rb") as file, made.open("wb") as out:
        out.writelines(apply_delta(old, file, whole))
    exact = sha256_of(made) == sha256_of(new)
    shares = {name: round(size / whole, 4) for name, size in sizes.items()}
    return {"bytes": sizes, "share": shares, "exact": exact}


Tensors = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]


def _models(chance: np.random.Generator, rank: int, step: float) -> tuple[Tensors, Tensors, int]:
    """A model, its retrained self, and the bytes of the adapter (two F16 factors a tensor)."""
    shapes = {"token_embd": (4000, _WIDTH)}
    for layer in range(_LAYERS):
        shapes |= {f"blk.{layer}.{n}": (_WIDTH, _WIDTH) for n in ("q", "k", "v", "o")}
        shapes |= {f"blk.{layer}.{n}": (_INNER, _WIDTH) for n in ("gate", "up", "down")}
    old, new, adapter = {}, {}, 0
    for name, (height, width) in shapes.items():
        weights = chance.normal(scale=0.02, size=(height, width)).astype(np.float32)
        old[name] = new[name] = weights
        if name.startswith("blk."):
            change = chance.normal(size=(height, rank)) @ chance.normal(size=(rank, width))
            scale = step * weights.std() / change.std()
            new[name] = (weights + change * scale).astype(np.float32)
            adapter += 2 * rank * (height + width)
    return old, new, adapter


def _gguf(tensors: Tensors, kind: str) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 0)
    body = bytearray()
    for name, weights in tensors.items():
        data = _q8_0(weights) if kind == "q8_0" else weights.astype("<f2").tobytes()
        code = _Q8_0 if kind == "q8_0" else _F16
        head += struct.pack("<Q", len(name)) + name.encode()
        head += struct.pack("<IQQIQ", 2, weights.shape[1], weights.shape[0], code, len(body))
        body += data + bytes(-len(data) % 32)
    return head + bytes(-len(head) % 32) + bytes(body)


def _q8_0(weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    """ggml's Q8_0: blocks of 32 weights, a half-precision scale and 32 signed bytes."""
    blocks = weights.reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    steps = np.round(blocks / np.where(scale == 0, 1, scale)).astype(np.int8)
    rows = np.empty((len(blocks), 34), np.uint8)
    rows[:, :2] = scale.astype("<f2").view(np.uint8).reshape(-1, 2)
    rows[:, 2:] = steps.view(np.uint8)
    return rows.tobytes()


def _zstd(data: bytes, dictionary: bytes | None, level: int) -> bytes:
    window = max(len(data) * 2, 2**20).bit_length()
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=window, enable_ldm=True
    )
    words = None
    if dictionary is not None:
        words = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    packer = zstandard.ZstdCompressor(compression_params=parameters, dict_data=words)
    return packer.compress(data)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
