"""What files are written over, and what is left as it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from converter_kit import names

from converters.outputs import whole_file
from edge_runtime import files
from edge_runtime.errors import StorageError


def test_a_file_is_written_over(tmp_path: Path) -> None:
    target = tmp_path / "card.json"
    for content in (b"first", b"second"):
        files.write_atomic(target, content)
        assert target.read_bytes() == content
    with whole_file(target, 5) as partial:
        partial.write_bytes(b"third")
    assert target.read_bytes() == b"third"


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no regular file"):
        files.write_atomic(pipe, b"content")
    with pytest.raises(StorageError, match=r"pipe cannot be written: It is no regular file\."):
        whole_file(pipe, 1).__enter__()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_what_stands_among_devices_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As /dev/stdout is where output goes to a file.
    kept = tmp_path / "kept.txt"
    kept.write_text("what others print")
    (tmp_path / "dev").mkdir()
    link = tmp_path / "dev" / "stdout"
    link.symlink_to(kept)
    monkeypatch.setattr(files, "_DEVICES", tmp_path / "dev")
    with pytest.raises(OSError, match="no regular file"):
        files.write_atomic(link, b"content")
    assert link.is_symlink()
    assert kept.read_text() == "what others print"
