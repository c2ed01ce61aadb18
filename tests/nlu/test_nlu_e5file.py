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
from edge_runtime.nlu.rows import TRELLIS_LEVELS, dequantize, dequantize_trellis, pack_trellis

_PIECES = ("<s>", "<pad>", "</s>", "<unk>", "\u2581", "\u2581a", "b", "ab")


def _tiny(rare: int = 0) -> bytes:
    """The smallest file of the format: 32 dimensions, a word table, the last ``rare`` rows of which
    have 2 bits."""
    text = [piece.encode() for piece in _PIECES]
    offsets = np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    scores = np.array([0, 0, 0, 0, -2, -3, -4, -5], "<f4").tobytes()
    head = b"E5S1" + struct.pack(
        "<I7ifi", 3 if rare else 1, 32, 1, 1, 32, len(text), 8, 1, 1e-12, 32
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
        mean = np.arange(32, dtype="<f4").tobytes()
        tensors += [(b"emb.rare", 2, coarse), (b"emb.rare.mean", 0, mean)]
    directory, data = struct.pack("<i", len(tensors)), b""
    start = len(head) + 4 + sum(2 + len(name) + 21 for name, *_ in tensors)
    for name, kind, content in tensors:
        elements = 32 * (1, len(text) - rare, rare)[kind]
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
    levels, mean = TRELLIS_LEVELS, np.arange(32)
    # Codes 0, 1, 2, 3 over and over: from the fifth weight on, every fourth has the same window.
    assert rows[0, 0] == pytest.approx(levels[0] * 3)
    assert rows[0, 3] == pytest.approx(levels[0b00_01_10_11] * 3 + 3, rel=1e-5)
    assert np.allclose(rows[0, 7::4], levels[0b11_00_01_10_11] * 3 + mean[7::4], rtol=1e-5)
    assert np.array_equal(rows[1:2], E5File(path).words([1]))
    assert np.allclose(rows[2] - mean, (rows[0] - mean) / 3, atol=1e-5)
    with pytest.raises(ModelCorruptError):
        file.words([8])


@given(
    windows=st.lists(st.integers(min_value=0, max_value=3), min_size=8, max_size=64).map(
        lambda codes: codes[: len(codes) // 4 * 4]
    )
)
def test_a_level_is_that_of_a_weight_s_bits_and_of_those_of_the_four_before(
    windows: list[int],
) -> None:
    packed = pack_trellis(np.array([windows], np.uint16), np.array([[2.0]], np.float32))
    (read,) = dequantize_trellis(packed)
    past = 0
    for code, value in zip(windows, read, strict=True):
        past = (past << 2 | code) & 0x3FF
        mixed = past * 34038481 + 76625530 & 0xFFFFFFFF
        assert value == pytest.approx((sum(mixed.to_bytes(4, "big")) - 510) / 147.8 * 2, rel=1e-5)


def test_a_table_without_the_rows_of_its_rare_pieces_is_refused(tmp_path: Path) -> None:
    content = _tiny(rare=3).replace(b"emb.rare" + b"\2", b"emb.rara" + b"\2")
    path = tmp_path / "lost.bin"
    path.write_bytes(content)
    file = E5File(path)
    assert file.words([4]).shape == (1, 32)
    with pytest.raises(ModelCorruptError):
        file.words([4, 5])


def test_rare_rows_without_their_mean_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lost.bin"
    path.write_bytes(_tiny(rare=3).replace(b"emb.rare.mean", b"emb.rare.main"))
    file = E5File(path)
    assert file.words([4]).shape == (1, 32)
    with pytest.raises(ModelCorruptError):
        file.words([5])


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
