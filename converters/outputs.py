"""Large files that are whole or absent, whoever writes them and whatever interrupts that."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from converters.errors import OptionError
from edge_runtime.bundles.blobs import require_space
from edge_runtime.errors import StorageError
from edge_runtime.files import sync_folder


@contextlib.contextmanager
def whole_file(target: Path, needed: int) -> Iterator[Path]:
    """A file beside ``target``, for a child process to fill, that replaces it when the block ends
    well; ``needed`` is how many bytes it may take.

    Raises:
        OptionError: another process writes the target.
        StorageError: the disk is full or cannot be written.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        require_space(target.parent, needed)
        with partial.open("ab") as lock:
            _lock(lock.fileno(), target)
            try:
                yield partial
                with partial.open("rb") as done:
                    os.fsync(done.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        sync_folder(target.parent)
    except StorageError as error:
        hint = "Free some space, or write to another folder."
        raise StorageError(error.message, hint=hint) from error
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}.") from error


def _lock(descriptor: int, target: Path) -> None:
    # The name is always the same, so that what a killed run left is overwritten by the next.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OptionError(f"Another process is writing {target}.") from None
