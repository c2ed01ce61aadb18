"""The 8-bit copy of a speech model."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.asr.shrink import shrink, shrunk
from edge_runtime.errors import ModelCorruptError, StorageError

FLOAT16, INT8, FLOAT32 = 4, 1, 0


def text(value: str) -> bytes:
    data = value.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def variable(name: str, values: npt.NDArray[np.float16]) -> bytes:
    shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    data = values.tobytes()
    return text(name) + shape + struct.pack("<BI", FLOAT16, len(data)) + data


def model(path: Path, variables: list[bytes], *, version: int = 6) -> Path:
    head = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<I", 3)
    body = struct.pack("<I", len(variables)) + b"".join(variables)
    aliases = struct.pack("<I", 1) + text("decoder/projection/weight") + text("embeddings/weight")
    path.write_bytes(head + body + aliases)
    return path


@pytest.fixture
def weights() -> npt.NDArray[np.float16]:
    values = np.random.default_rng(7).normal(size=(6, 16)).astype(np.float16)
    values[3] = 0
    return values


def test_matrices_become_scaled_integers_within_half_a_step(
    tmp_path: Path, weights: npt.NDArray[np.float16]
) -> None:
    source = model(tmp_path / "model.bin", [variable("embeddings/weight", weights)])
    target = tmp_path / "small.bin"
    shrink(source, target)
    data = target.read_bytes()
    values = np.frombuffer(data[data.index(text("embeddings/weight")) + 34 :][:96], np.int8)
    at = data.index(text("embeddings/weight_scale")) + len(text("embeddings/weight_scale"))
    scales = np.frombuffer(data[at + 10 : at + 34], np.float32)
    restored = values.reshape(6, 16) / scales[:, None]
    assert np.abs(restored - weights.astype(np.float32)).max() <= 0.5 / scales.min() + 1e-6


def test_an_alias_of_a_matrix_gets_its_scale_too(
    tmp_path: Path, weights: npt.NDArray[np.float16]
) -> None:
    source = model(tmp_path / "model.bin", [variable("embeddings/weight", weights)])
    shrink(source, tmp_path / "small.bin")
    assert text("decoder/projection/weight_scale") in (tmp_path / "small.bin").read_bytes()


def test_vectors_and_convolutions_stay_as_they_are(tmp_path: Path) -> None:
    kept = [
        variable("layer_norm/gamma", np.ones(8, np.float16)),
        variable("encoder/conv1/weight", np.ones((4, 4), np.float16)),
    ]
    source = model(tmp_path / "model.bin", kept)
    shrink(source, tmp_path / "small.bin")
    written = (tmp_path / "small.bin").read_bytes()
    assert all(part in written for part in kept)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[: len(data) // 2],
        lambda data: struct.pack("<I", 99) + data[4:],
        lambda data: b"\x80\x04" + data,
        lambda data: data[:23] + b"\xff\xff\xff\xff" + data[27:],
    ],
)
def test_a_damaged_model_is_refused_and_nothing_written(
    tmp_path: Path,
    weights: npt.NDArray[np.float16],
    damage: object,
) -> None:
    source = model(tmp_path / "model.bin", [variable("embeddings/weight", weights)])
    assert callable(damage)
    source.write_bytes(damage(source.read_bytes()))
    with pytest.raises(ModelCorruptError):
        shrunk(source, tmp_path / "made" / "small.bin")
    assert not list(tmp_path.glob("made/*"))


def test_a_folder_that_cannot_be_written_is_said_so(
    tmp_path: Path, weights: npt.NDArray[np.float16]
) -> None:
    source = model(tmp_path / "model.bin", [variable("embeddings/weight", weights)])
    with pytest.raises(StorageError):
        shrunk(source, Path("/proc/nowhere/small.bin"))


def test_the_copy_is_made_once(tmp_path: Path, weights: npt.NDArray[np.float16]) -> None:
    source = model(tmp_path / "model.bin", [variable("embeddings/weight", weights)])
    first = shrunk(source, tmp_path / "small.bin").stat()
    assert shrunk(source, tmp_path / "small.bin").stat().st_ino == first.st_ino
