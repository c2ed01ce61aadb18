"""Files that must survive a power cut: written beside, synced, then renamed over."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_DEVICES: Final = Path("/dev")


@contextlib.contextmanager
def atomic_writer(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A binary file that appears at ``path``, complete and synced, when the block ends well.

    When the block raises, ``path`` stays as it was and nothing is left behind.

    Raises:
        OSError: the folder cannot be written, the disk is full, or ``path`` is no regular file.
    """
    refuse_devices(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``content``; after a crash it holds the old or the new content, whole."""
    with atomic_writer(path, mode=mode) as file:
        file.write(content)


def refuse_devices(path: Path) -> None:
    """Refuse what must not be replaced by a file: a device, a pipe, ``/dev/stdout``. Renaming over
    it would take it from all others on the machine.

    Raises:
        OSError: ``path`` is one of them.
    """
    among_devices = path.absolute().parent == _DEVICES
    if path.exists() and not path.is_dir() and (among_devices or not path.is_file()):
        raise OSError(errno.EINVAL, "It is no regular file", str(path))


def sync_folder(folder: Path) -> None:
    """Make renames and creations in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
