"""Deltas: what they make is exact or refused, and a retrained model's is small."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.delta import DeltaError, apply_delta, make_delta
from sync.delta.form import MAGIC, Piece, columns, rows, write_header
from sync.delta.layout import regions


def applied(base: Path, delta: bytes, size: int) -> bytes:
    return b"".join(apply_delta(base, io.BytesIO(delta), size))


def roundtrip(folder: Path, old: bytes, new: bytes) -> int:
    base, target, out = folder / "base", folder / "target", folder / "delta"
    base.write_bytes(old)
    target.write_bytes(new)
    size = make_delta(base, target, out)
    assert applied(base, out.read_bytes(), len(new)) == new
    return size


def gguf(tensors: dict[str, tuple[int, bytes]]) -> bytes:
    """A GGUF file (version 3) of tensors given as ggml type and bytes."""
    text = lambda s: struct.pack("<Q", len(s)) + s.encode()  # noqa: E731
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 2)
    head += text("general.name") + struct.pack("<I", 8) + text("tiny")
    head += text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    body, offset = b"", 0
    for name, (kind, data) in tensors.items():
        head += text(name) + struct.pack("<IQIQ", 1, len(data), kind, offset)
        padded = data + bytes(-len(data) % 32)
        body += padded
        offset += len(padded)
    return head + bytes(-len(head) % 32) + body


def field(number: int, data: bytes) -> bytes:
    size, length = b"", len(data)
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


def onnx(tensors: dict[str, bytes]) -> bytes:
    """An ONNX model that is nothing but float initializers."""
    graph = b"".join(
        field(5, b"\x10\x01" + field(8, name.encode()) + field(9, data))
        for name, data in tensors.items()
    )
    return b"\x08\x08" + field(7, graph)


def retrained(weights: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    down, up = chance.normal(size=(weights.shape[0], 4)), chance.normal(size=(4, weights.shape[1]))
    return (weights + down @ up * 2e-4).astype(weights.dtype)


def test_a_retrained_gguf_model_travels_as_a_small_delta(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    weights = chance.normal(scale=0.02, size=(256, 512)).astype(np.float16)
    frozen = chance.integers(0, 256, 100_000, dtype=np.uint8).tobytes()
    old = gguf({"w": (1, weights.tobytes()), "frozen": (0, frozen)})
    new = gguf({"frozen": (0, frozen), "w": (1, retrained(weights, chance).tobytes())})
    assert [region.name for region in regions(np.frombuffer(old, np.uint8))] == ["w", "frozen"]
    size = roundtrip(tmp_path, old, new)
    assert size < weights.nbytes * 0.8


def test_a_retrained_onnx_model_travels_as_a_small_delta(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    weights = chance.normal(scale=0.02, size=(128, 256)).astype(np.float32)
    frozen = chance.integers(0, 256, 100_000, dtype=np.uint8).tobytes()
    old = onnx({"w": weights.tobytes(), "frozen": frozen})
    new = onnx({"w": retrained(weights, chance).tobytes(), "frozen": frozen})
    found = {region.name: region for region in regions(np.frombuffer(old, np.uint8))}
    assert (found["w"].length, found["w"].stride) == (weights.nbytes, 4)
    assert roundtrip(tmp_path, old, new) < weights.nbytes * 0.85


def test_equal_files_travel_as_next_to_nothing(tmp_path: Path) -> None:
    data = gguf({"w": (12, np.random.default_rng(1).bytes(144 * 1000))})
    assert roundtrip(tmp_path, data, data) < 500


@settings(max_examples=40)
@given(old=st.binary(max_size=3000), new=st.binary(max_size=3000))
def test_any_two_files_round_trip(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes
) -> None:
    roundtrip(tmp_path_factory.mktemp("any"), old, new)


@settings(max_examples=25)
@given(
    names=st.lists(st.sampled_from("abcde"), unique=True, max_size=5),
    others=st.lists(st.sampled_from("abcde"), unique=True, max_size=5),
    seed=st.integers(0, 99),
    kind=st.sampled_from([0, 1, 8, 12, 99]),
)
def test_any_two_models_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    names: list[str],
    others: list[str],
    seed: int,
    kind: int,
) -> None:
    chance = np.random.default_rng(seed)
    make = lambda n: (kind, chance.bytes(int(chance.integers(1, 1500))))  # noqa: E731
    old = gguf({name: make(name) for name in names})
    new = gguf({name: make(name) for name in others})
    roundtrip(tmp_path_factory.mktemp("models"), old, new)


@given(data=st.binary(max_size=600), stride=st.integers(1, 40))
def test_columns_are_undone_by_rows(data: bytes, stride: int) -> None:
    array = np.frombuffer(data, np.uint8)
    assert rows(columns(array, stride), stride).tobytes() == data


@given(data=st.binary(max_size=400))
def test_a_layout_is_read_from_anything_without_an_error(data: bytes) -> None:
    for start in (b"", b"GGUF\x03\x00\x00\x00"):
        array = np.frombuffer(start + data, np.uint8)
        assert all(r.offset + r.length <= len(array) for r in regions(array))


@settings(max_examples=40)
@given(position=st.integers(0, 2000), value=st.integers(0, 255))
def test_a_damaged_delta_makes_the_right_size_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    old = gguf({"w": (1, np.random.default_rng(1).bytes(4000))})
    new = gguf({"w": (1, np.random.default_rng(2).bytes(4000))})
    roundtrip(folder, old, new)
    delta = bytearray((folder / "delta").read_bytes())
    delta[position % len(delta)] = value
    with contextlib.suppress(DeltaError):
        assert len(applied(folder / "base", bytes(delta), len(new))) == len(new)


@pytest.mark.parametrize(
    "delta",
    [
        b"",
        b"GGUF1234",
        MAGIC + b"\xff\xff\xff\x7f" + b"x" * 100,
        write_header([Piece("copy", 2**23 + 1)]),
        write_header([Piece("copy", 10, 2**39)]),
        write_header([Piece("sub", 10, -1)]),
        write_header([Piece("sub2", 3)]),
        write_header([Piece("run", 10)]),  # type: ignore[arg-type]
        write_header([Piece("new", 10, payload=4)]) + b"\x28\xb5\x2f\xfd",
    ],
)
def test_a_delta_with_wild_bounds_is_refused(tmp_path: Path, delta: bytes) -> None:
    base = tmp_path / "base"
    base.write_bytes(bytes(100))
    with pytest.raises(DeltaError):
        applied(base, delta, 10)
