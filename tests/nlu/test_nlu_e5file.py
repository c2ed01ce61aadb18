"""A model file is hostile input: every size in it is checked before it is used."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import ModelCorruptError, ModelMissingError
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.rows import COARSE_LEVELS, dequantize, dequantize_coarse, quantize_coarse

_PIECES = ("<s>", "<pad>", "</s>", "<unk>", "\u2581", "\u2581a", "b", "ab")


def _tiny(rare: int = 0) -> bytes:
    """The smallest file of the format: 32 dimensions, a word table, the last ``rare`` rows of which
    have 2 bits."""
    text = [piece.encode() for piece in _PIECES]
    offsets = np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    scores = np.array([0, 0, 0, 0, -2, -3, -4, -5], "<f4").tobytes()
    head = b"E5S1" + struct.pack(
        "<I7ifi", 2 if rare else 1, 32, 1, 1, 32, len(text), 8, 1, 1e-12, 32
    )
    head += struct.pack("<5iQ", len(text), 0, 2, 1, 3, len(b"".join(text)))
    norm = struct.pack("<IBI", 0x41, 1, 0x61)
    head += offsets + scores + b"".join(text) + struct.pack("<iI", 1, len(norm)) + norm
    fine = (struct.pack("<e", 0.5) + bytes(range(16))) * (len(text) - rare)
    tensors = [(b"emb.word", 1, fine)]
    if rare:
        coarse = b"".join(
            struct.pack("<e", 1 + row) + bytes([0b11100100] * 8) for row in range(rare)
        )
        tensors.append((b"emb.rare", 2, coarse))
    directory, data = struct.pack("<i", len(tensors)), b""
    start = len(head) + 4 + len(tensors) * (2 + 8 + 21)
    for name, kind, content in tensors:
        elements = 32 * (len(text) - rare if kind == 1 else rare)
        directory += struct.pack("<H", len(name)) + name
        directory += struct.pack("<BIQQ", kind, elements, start + len(data), len(content))
        data += content
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
    rows = file.words([0, 7])
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
        file.words([file.vocabulary.count - 1])
    except ModelCorruptError:
        return
    assert file.vocabulary.count <= file.shape.vocabulary


@pytest.mark.parametrize("row", [8, -1])
def test_a_row_outside_the_table_is_refused(tiny: Path, row: int) -> None:
    with pytest.raises(ModelCorruptError):
        E5File(tiny).words([row])


def test_rare_pieces_have_rows_of_two_bits(tmp_path: Path) -> None:
    path = tmp_path / "rare.bin"
    path.write_bytes(_tiny(rare=3))
    file = E5File(path)
    rows = file.words([7, 0, 5])
    assert np.allclose(rows[0], np.tile(COARSE_LEVELS, 8) * 3)
    assert np.array_equal(rows[1:2], E5File(path).words([1]))
    assert np.allclose(rows[2], np.tile(COARSE_LEVELS, 8))
    with pytest.raises(ModelCorruptError):
        file.words([8])


def test_a_table_without_the_rows_of_its_rare_pieces_is_refused(tmp_path: Path) -> None:
    content = _tiny(rare=3).replace(b"emb.rare", b"emb.rara")
    path = tmp_path / "lost.bin"
    path.write_bytes(content)
    file = E5File(path)
    assert file.words([4]).shape == (1, 32)
    with pytest.raises(ModelCorruptError):
        file.words([4, 5])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    at=st.integers(min_value=0, max_value=len(_tiny(3)) - 1),
    value=st.binary(min_size=1, max_size=8),
)
def test_damage_to_a_file_with_rare_pieces_never_escapes_as_another_error(
    tmp_path: Path, at: int, value: bytes
) -> None:
    content = bytearray(_tiny(rare=3))
    content[at : at + len(value)] = value
    path = tmp_path / "damaged.bin"
    path.write_bytes(bytes(content))
    try:
        file = E5File(path)
        file.words(list(range(file.vocabulary.count)))
    except ModelCorruptError:
        return
    assert file.vocabulary.count <= file.shape.vocabulary


def test_two_bits_keep_most_of_a_row() -> None:
    random = np.random.default_rng(0)
    rows = (random.normal(size=(50, 384)) * random.uniform(0.01, 5, (50, 1))).astype(np.float32)
    packed = quantize_coarse(rows)
    assert packed.shape == (50, 98)
    kept = dequantize_coarse(packed)
    # Four levels can leave no less than .1175 of normally distributed numbers (Max, 1960).
    lost = ((kept - rows) ** 2).sum() / (rows**2).sum()
    assert 0.10 < lost < 0.13
    assert np.allclose(dequantize_coarse(quantize_coarse(kept)), kept, rtol=0.01)
    assert np.isfinite(dequantize_coarse(quantize_coarse(np.zeros((1, 32), np.float32)))).all()
