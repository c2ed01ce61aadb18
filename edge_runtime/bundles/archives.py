"""Reading downloaded archives as data: nothing is unpacked to a path that an archive names.

Members are streamed out one by one into content-addressed files, so a hostile name or link has
nowhere to go; archives that carry one are refused all the same, because an honest one does not.
"""

from __future__ import annotations

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.bundles.names import natural_key, safe_name
from edge_runtime.errors import EdgeRuntimeError, ModelCorruptError

_BLOCK = 2**20
_MAX_MEMBERS = 50_000
_MAX_RATIO = 50
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    UnicodeError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One regular file inside an archive; ``size`` is what the archive declares, in bytes."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


class ArchiveSet:
    """The members of several archives seen as one; close it (or use ``with``) when done.

    Args:
        scratch: folder for a decompressed copy of each ``.tgz``, removed on close.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._stack = ExitStack()
        self.members: dict[str, Member] = {}

    def __enter__(self) -> ArchiveSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all archives and delete their decompressed copies."""
        self._stack.close()

    def add(self, path: Path, name: str) -> None:
        """Open one archive; ``name`` is its file name and decides its format.

        A file that is no archive is its own only member.

        Raises:
            ModelCorruptError: it is broken, a bomb, or holds an unsafe or doubled name or a link.
            StorageError: it cannot be read, or its decompressed copy cannot be written.
        """
        with storage_errors(self._scratch), _broken_as_corrupt(name):
            if name.endswith((".whl", ".zip")):
                found = self._zip(path, name)
            elif name.endswith((".tgz", ".tar.gz")):
                found = self._tar(path, name)
            else:
                found = [Member(name, path.stat().st_size, lambda: path.open("rb"))]
        for member in found:
            if not safe_name(member.name):
                raise ModelCorruptError(f"{name} is refused: unsafe member name {member.name!r}.")
            if member.name in self.members:
                raise ModelCorruptError(f"{name} is refused: two members named {member.name!r}.")
            self.members[member.name] = member

    def matching(self, pattern: str) -> list[Member]:
        """Members whose whole path matches ``pattern`` (``*`` within a folder), parts in order."""
        depth = len(PurePosixPath(pattern).parts)
        names = [
            name
            for name in self.members
            if len(PurePosixPath(name).parts) == depth and PurePosixPath(name).match(pattern)
        ]
        return [self.members[name] for name in sorted(names, key=natural_key)]

    def _zip(self, path: Path, name: str) -> list[Member]:
        archive = self._stack.enter_context(zipfile.ZipFile(path))
        infos = archive.infolist()
        _check_count(len(infos), name)
        members = []
        for info in infos:
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                raise ModelCorruptError(f"{name} is refused: {info.filename!r} is a link.")
            # The raw name: zipfile itself cuts at a null byte and rewrites separators.
            raw = info.orig_filename
            members.append(Member(raw, info.file_size, _zip_opener(archive, info)))
        return members

    def _tar(self, path: Path, name: str) -> list[Member]:
        # A .tgz can only be read forwards; a bounded plain copy allows any order of parts.
        plain = self._scratch / f"{path.name}.tar"
        self._stack.callback(plain.unlink, missing_ok=True)
        limit = path.stat().st_size * _MAX_RATIO + _BLOCK
        with gzip.open(path) as packed, plain.open("wb") as stream:
            written = 0
            while block := packed.read(_BLOCK):
                written += len(block)
                if written > limit:
                    raise ModelCorruptError(f"{name} is refused: it unpacks to far too much.")
                stream.write(block)
        archive = self._stack.enter_context(tarfile.open(plain, "r:"))  # noqa: SIM115
        members = []
        for count, info in enumerate(archive):
            _check_count(count, name)
            if info.isdir():
                continue
            if not info.isreg():
                raise ModelCorruptError(f"{name} is refused: {info.name!r} is a link or device.")
            members.append(Member(info.name, info.size, _tar_opener(archive, info)))
        return members


def read_members(members: list[Member], *, limit: int, label: str) -> Iterator[bytes]:
    """The members' bytes, one after the other, never more than ``limit`` and one block.

    Raises:
        ModelCorruptError: an archive is broken or its members declare more than ``limit`` bytes.
    """
    if sum(member.size for member in members) > limit:
        raise ModelCorruptError(f"{label} is wrong: it is longer than its {limit} bytes.")
    with _broken_as_corrupt(label):
        for member in members:
            with member.open() as stream:
                while block := stream.read(_BLOCK):
                    yield block


@contextmanager
def _broken_as_corrupt(label: str) -> Iterator[None]:
    try:
        yield
    except EdgeRuntimeError:
        raise
    # A RuntimeError is how zipfile says that a member is encrypted or compressed in a way it lacks.
    except (*_BROKEN, RuntimeError) as error:
        raise ModelCorruptError(f"{label} is damaged: {error}.") from error


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)


def _tar_opener(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        stream = archive.extractfile(info)
        assert stream is not None, "regular members only"  # noqa: S101
        return stream

    return opened


def _check_count(count: int, name: str) -> None:
    if count > _MAX_MEMBERS:
        raise ModelCorruptError(f"{name} is refused: it has more than {_MAX_MEMBERS} members.")
