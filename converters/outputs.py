"""Large files and folders that are whole or absent, whatever interrupts who writes them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from converters.errors import OptionError
from edge_runtime.bundles.blobs import require_space, storage_errors
from edge_runtime.errors import StorageError
from edge_runtime.files import refuse_devices, sync_folder, write_atomic


@contextlib.contextmanager
def whole_file(target: Path, needed: int) -> Iterator[Path]:
    """A file beside ``target``, for a child process to fill, that replaces it when the block ends
    well; ``needed`` is how many bytes it may take.

    Raises:
        OptionError: another process writes the target.
        StorageError: the disk is full or cannot be written, or the target is no regular file.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        refuse_devices(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        require_space(target.parent, needed)
        with partial.open("ab") as lock:
            _lock(lock.fileno(), target)
            try:
                yield partial
                _sync_file(partial)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        sync_folder(target.parent)
    except StorageError as error:
        hint = "Free some space, or write to another folder."
        raise StorageError(error.message, hint=hint) from error
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}.") from error


@contextlib.contextmanager
def resumable_folder(target: Path, key: str) -> Iterator[Path]:
    """A folder beside ``target`` that becomes it when the block ends well, without its hidden
    files; otherwise it stays for the next run with the same ``key``.

    Raises:
        OptionError: ``target`` exists, or another process makes it.
        StorageError: it cannot be written.
    """
    if target.exists():
        raise OptionError(f"{target} exists already.", hint="Name a new folder, or remove it.")
    partial = target.with_name(f".{target.name}.partial")
    with unfinished_folder(partial, key, for_=target):
        yield partial
        for path in partial.glob(".*"):
            _remove(path)
        for path in partial.rglob("*"):
            _sync_file(path) if path.is_file() else sync_folder(path)
        partial.rename(target)
        sync_folder(target.parent)


@contextlib.contextmanager
def unfinished_folder(folder: Path, key: str, *, for_: Path) -> Iterator[None]:
    """Make ``folder`` hold what a run with the same ``key`` left there, or nothing else; it stays.

    Raises:
        OptionError: another process works on ``for_``.
        StorageError: it cannot be written.
    """
    kept = folder / ".key"
    with storage_errors(for_):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("ab") as lock:
            _lock(lock.fileno(), for_)
            if not kept.exists() or kept.read_text("utf-8") != key:
                _empty(folder, but=".lock")
                write_atomic(kept, key.encode())
            yield


def _empty(folder: Path, *, but: str) -> None:
    for path in folder.iterdir():
        if path.name != but:
            _remove(path)


def _sync_file(path: Path) -> None:
    with path.open("rb") as done:
        os.fsync(done.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _lock(descriptor: int, target: Path) -> None:
    # The name is always the same, so that what a killed run left is overwritten by the next.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OptionError(f"Another process is writing {target}.") from None
