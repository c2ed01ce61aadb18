"""A model file is hostile input: every size in it is checked before it is used."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import ModelCorruptError, ModelMissingError
from edge_runtime.nlu.e5file import E5File, dequantize

_PIECES = ("<s>", "<pad>", "</s>", "<unk>", "\u2581", "\u2581a", "b", "ab")


def _tiny() -> bytes:
    """The smallest file of the format: 32 dimensions, one word-table tensor."""
    text = [piece.encode() for piece in _PIECES]
    offsets = np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    scores = np.array([0, 0, 0, 0, -2, -3, -4, -5], "<f4").tobytes()
    head = b"E5S1" + struct.pack("<I7ifi", 1, 32, 1, 1, 32, len(text), 8, 1, 1e-12, 32)
    head += struct.pack("<5iQ", len(text), 0, 2, 1, 3, len(b"".join(text)))
    norm = struct.pack("<IBI", 0x41, 1, 0x61)
    head += offsets + scores + b"".join(text) + struct.pack("<iI", 1, len(norm)) + norm
    name = b"emb.word"
    data = struct.pack("<e", 0.5) + bytes(range(16))
    data *= len(text)
    directory = struct.pack("<iH", 1, len(name)) + name
    start = len(head) + len(directory) + 21
    directory += struct.pack("<BIQQ", 1, 32 * len(text), start, len(data))
    return head + directory + data


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.bin"
    path.write_bytes(_tiny())
    return path


def test_a_sound_file_is_read(tiny: Path) -> None:
    file = E5File(tiny)
    assert file.shape.hidden == 32
    assert [file.vocabulary.piece(i).decode() for i in range(8)] == list(_PIECES)
    assert file.normalization == {0x41: "a"}
    rows = file.rows("emb.word", 32, [0, 7])
    assert rows.shape == (2, 32)
    assert rows[0, 0] == (0 - 8) * 0.5
    assert rows[0, 1] == (1 - 8) * 0.5
    assert rows[0, 16] == (0 - 8) * 0.5


def test_nibbles_are_split_low_first() -> None:
    block = np.zeros((1, 1, 18), np.uint8)
    block[0, 0, :2] = np.frombuffer(np.float16(1.0).tobytes(), np.uint8)
    block[0, 0, 2] = 0x9F
    values = dequantize(block)
    assert values[0, 0] == 7.0
    assert values[0, 16] == 1.0


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError):
        E5File(tmp_path / "none.bin")


def test_an_empty_file_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "empty.bin"
    path.touch()
    with pytest.raises(ModelCorruptError):
        E5File(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(min_value=0, max_value=len(_tiny()) - 1))
def test_every_truncation_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.bin"
    path.write_bytes(_tiny()[:cut])
    with pytest.raises(ModelCorruptError):
        E5File(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    at=st.integers(min_value=0, max_value=len(_tiny()) - 145),
    value=st.binary(min_size=4, max_size=4),
)
def test_damaged_headers_never_escape_as_other_errors(
    tmp_path: Path, at: int, value: bytes
) -> None:
    content = bytearray(_tiny())
    content[at : at + 4] = value
    path = tmp_path / "damaged.bin"
    path.write_bytes(bytes(content))
    try:
        file = E5File(path)
        file.rows("emb.word", file.shape.hidden, [file.vocabulary.count - 1])
    except ModelCorruptError:
        return
    assert file.vocabulary.count <= file.shape.vocabulary


def test_a_row_outside_the_table_is_refused(tiny: Path) -> None:
    with pytest.raises(ModelCorruptError):
        E5File(tiny).rows("emb.word", 32, [8])
