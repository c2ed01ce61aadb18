"""Content-addressed files: every blob is named by its own sha256, so it is either right or absent.

Models, bundles and slots share one store; the same bytes are kept once and hard-linked from there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import EdgeRuntimeError, ModelCorruptError, ModelMissingError, StorageError
from edge_runtime.files import sync_folder

SHA256 = re.compile(r"[0-9a-f]{64}")
_SPARE_BYTES = 16 * 2**20
_NO_LINKS = {errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an operating system error met under ``path`` into one sentence.

    Raises:
        StorageError: the disk is full, read-only or broken.
    """
    try:
        yield
    except EdgeRuntimeError:
        raise
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            message = f"The disk that holds {path} is full."
            hint = "Free some space; what was already verified is kept."
        elif error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            message = f"{path} cannot be written: {error.strerror}."
            hint = "Make it writable, or choose another folder with EDGE_MODELS_DIR."
        else:
            message = f"{path} cannot be used: {error.strerror or error}."
            hint = "Check the disk, or choose another folder with EDGE_MODELS_DIR."
        raise StorageError(message, hint=hint) from error


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's content, read in large blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_file(path: Path, size: int, sha256: str, *, label: str, hint: str = "") -> None:
    """Hold a file against its pinned size and sha256.

    Raises:
        ModelMissingError: there is no such file.
        ModelCorruptError: its size or sha256 is another.
    """
    try:
        found_size = path.stat().st_size
        if found_size != size:
            raise ModelCorruptError(
                f"{label} is damaged: expected {size} bytes, found {found_size}.", hint=hint
            )
        found = sha256_of(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ModelMissingError(f"{label} is missing.", hint=hint) from error
    except OSError as error:
        raise StorageError(f"{label} cannot be read: {error.strerror}.", hint=hint) from error
    if found != sha256:
        raise ModelCorruptError(
            f"{label} is damaged: expected sha256 {sha256}, found {found}.", hint=hint
        )


def require_space(folder: Path, needed: int) -> None:
    """Refuse a job that would fill the disk, before it starts.

    Raises:
        StorageError: fewer than ``needed`` bytes (and a small reserve) are free.
    """
    with storage_errors(folder):
        free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise StorageError(
            f"The disk that holds {folder} has {free / 1e6:.0f} MB free, "
            f"{(needed + _SPARE_BYTES) / 1e6:.0f} MB are needed.",
            hint="Free some space, or choose another folder with EDGE_MODELS_DIR.",
        )


@contextmanager
def exclusive(folder: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold ``folder`` against a second writer; ``waiting`` is called if there is one.

    Raises:
        StorageError: it cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("wb")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class BlobStore:
    """``<root>/blobs/sha256/<hash>``, read-only files, written atomically."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "blobs" / "sha256"

    def path(self, sha256: str) -> Path:
        """Where the blob with this hash is, or would be."""
        if not SHA256.fullmatch(sha256):
            raise ValueError(f"not a sha256: {sha256!r}")
        return self.folder / sha256

    def has(self, sha256: str, size: int) -> bool:
        """Whether the blob is here and intact; a damaged one is thrown away."""
        path = self.path(sha256)
        try:
            check_file(path, size, sha256, label=path.name)
        except ModelMissingError:
            return False
        except ModelCorruptError:
            with storage_errors(self.root):
                path.unlink(missing_ok=True)
            return False
        return True

    def add(
        self,
        chunks: Iterable[bytes],
        size: int,
        sha256: str,
        *,
        label: str,
        advance: Callable[[int], None] = lambda count: None,
    ) -> Path:
        """Store a stream under its hash; nothing is left behind unless all of it is right.

        Raises:
            ModelCorruptError: the stream is longer, shorter or other than pinned.
            StorageError: it cannot be written.
        """
        target = self.path(sha256)
        temporary = self.folder / f".{sha256}.{os.getpid()}.tmp"
        digest, written = hashlib.sha256(), 0
        with storage_errors(self.root):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as stream:
                    for chunk in chunks:
                        written += len(chunk)
                        if written > size:
                            raise ModelCorruptError(
                                f"{label} is wrong: it is longer than its {size} bytes."
                            )
                        digest.update(chunk)
                        stream.write(chunk)
                        advance(len(chunk))
                    stream.flush()
                    os.fsync(stream.fileno())
                if written != size:
                    raise ModelCorruptError(
                        f"{label} is wrong: expected {size} bytes, found {written}."
                    )
                if digest.hexdigest() != sha256:
                    raise ModelCorruptError(
                        f"{label} is wrong: expected sha256 {sha256}, found {digest.hexdigest()}."
                    )
                temporary.chmod(0o444)
                temporary.replace(target)
                sync_folder(self.folder)
            finally:
                temporary.unlink(missing_ok=True)
        return target

    def link(self, sha256: str, target: Path) -> None:
        """Give a blob a name elsewhere: a hard link, or a copy where the disk has no links."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self.path(sha256), target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(self.path(sha256), target)
            with target.open("rb") as stream:
                os.fsync(stream.fileno())

    def sweep(self) -> None:
        """Delete the half-written files of processes that were killed."""
        with storage_errors(self.root):
            for temporary in self.folder.glob(".*.tmp"):
                if not _alive(int(temporary.name.split(".")[2])):
                    temporary.unlink(missing_ok=True)

    def discard(self, sha256: str) -> int:
        """Delete a blob; returns the bytes it took here (names elsewhere keep theirs)."""
        path = self.path(sha256)
        with storage_errors(self.root):
            size = path.stat().st_size if path.exists() else 0
            path.unlink(missing_ok=True)
        return size


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
