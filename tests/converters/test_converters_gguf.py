"""The GGUF header reader believes nothing a file says."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
from converter_kit import gguf, gguf_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters.errors import ModelFileError
from converters.gguf import read_header


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


def _read(folder: Path, data: bytes) -> object:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return read_header(path)


def test_header_states_architecture_and_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(tensors=3))
    header = read_header(path)
    assert header.architecture == "toy"
    assert header.weights == 3 * 32
    assert header.tensor_types == {"F32": 3}
    assert not header.quantised


@given(cut=st.integers(0, len(gguf()) - 1))
def test_a_file_cut_short_anywhere_is_refused(folder: Path, cut: int) -> None:
    with pytest.raises(ModelFileError):
        _read(folder, gguf()[:cut])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(place=st.integers(0, len(gguf()) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_but_never_crashes(
    folder: Path, place: int, value: int
) -> None:
    data = bytearray(gguf())
    data[place] = value
    try:
        _read(folder, bytes(data))
    except ModelFileError as error:
        assert str(folder) in error.message


@given(data=st.binary(max_size=400))
def test_rubbish_after_the_magic_is_refused(folder: Path, data: bytes) -> None:
    with pytest.raises(ModelFileError):
        _read(folder, b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a GGUF"),
        (b"not a model at all", "not a GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 9, 1, 1), "version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 1), "claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**60), "claims"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**62), "claims"),
        (gguf(keys=1, metadata=gguf_text("x") + struct.pack("<IIQ", 9, 10, 2**50)), "claims"),
        (gguf(keys=1, metadata=gguf_text("x") + struct.pack("<I", 99)), "unknown type"),
        (gguf(tensors=0), "no tensors"),
    ],
)
def test_impossible_headers_say_why(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(ModelFileError, match=reason):
        _read(tmp_path, data)


def test_arrays_of_arrays_of_arrays_are_refused(tmp_path: Path) -> None:
    nested = struct.pack("<IQ", 9, 1) * 2000
    value = gguf_text("x") + struct.pack("<I", 9) + nested + struct.pack("<IQ", 4, 0)
    with pytest.raises(ModelFileError, match="nested"):
        _read(tmp_path, gguf(keys=1, metadata=value))


def test_pickles_are_refused_bare_and_in_a_checkpoint(tmp_path: Path) -> None:
    bare = tmp_path / "model.gguf"
    bare.write_bytes(pickle.dumps({"weights": [1.0]}))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    zipped = tmp_path / "pytorch_model.bin"
    zipped.write_bytes(buffer.getvalue())
    for path in (bare, zipped):
        with pytest.raises(ModelFileError, match="pickle"):
            read_header(path)


def test_a_folder_or_missing_file_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.gguf"):
        with pytest.raises(ModelFileError, match="not a file"):
            read_header(path)
