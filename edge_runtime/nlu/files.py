"""Files that a killed process must not leave half written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from edge_runtime.errors import StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` or leave it as it was.

    Raises:
        StorageError: the disk is full or read-only.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 (the atomic primitive itself)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise StorageError(
            f"Cannot write {path}: {error.strerror}.",
            hint="Free some space or choose a writable cache folder.",
        ) from error


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces so that it never lies in memory whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
