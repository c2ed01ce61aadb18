"""Files that a killed process must not leave half written."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge_runtime.errors import StorageError
from edge_runtime.files import write_atomic


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` or leave it as it was.

    Raises:
        StorageError: the disk is full or read-only.
    """
    try:
        write_atomic(path, content)
    except OSError as error:
        raise StorageError(
            f"Cannot write {path}: {error.strerror}.",
            hint="Free some space or choose a writable cache folder.",
        ) from error


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces so that it never lies in memory whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
