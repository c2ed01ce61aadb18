"""Sees every write, sync, truncation and deletion SQLite makes, before it is made.

The default VFS of SQLite (https://www.sqlite.org/vfs.html) is copied and four of its functions
wrapped, through ctypes, in the very library that Python's sqlite3 uses. A sync is reported but not
made: a killed process loses nothing the system has, and what a power cut may lose is worked out
from the reports.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast, pointer
from pathlib import Path
from typing import Any

# Paths stay plain pointers: SQLite keeps the one it gives, and reads beyond its end.
OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
SYNC = CFUNCTYPE(c_int, c_void_p, c_int)

Report = Callable[..., None]
"""Called with what ("write", "sync", "truncate", "delete", "rename"), the file's name and, for a
write, its offset and bytes, for a truncation the new size."""


class Methods(Structure):
    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", WRITE),
        ("truncate", TRUNCATE),
        ("sync", SYNC),
        ("others", c_void_p * 13),
    )


class File(Structure):
    _fields_ = (("methods", POINTER(Methods)),)


class Vfs(Structure):
    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", OPEN),
        ("delete", DELETE),
        ("others", c_void_p * 14),
    )


def library() -> ctypes.CDLL | None:
    """The SQLite library Python has loaded; ``None`` where it is linked into Python itself."""
    loaded = ctypes.CDLL(_sqlite3.__file__)
    try:
        loaded.sqlite3_vfs_find.restype = c_void_p
    except AttributeError:
        return None
    return loaded


class Watch:
    """Reports the file operations below ``folder`` of this process, from now on and for good."""

    def __init__(self, folder: Path, report: Report) -> None:
        self._prefix = os.fsencode(folder) + b"/"
        self._report = report
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []
        self._wrapped: dict[int, Methods] = {}
        self._watch_sqlite()
        self._watch_python()

    def _name(self, path: bytes) -> str | None:
        if not path.startswith(self._prefix):
            return None
        return os.fsdecode(path.removeprefix(self._prefix))

    def _watch_sqlite(self) -> None:
        found = library()
        assert found is not None
        original = cast(found.sqlite3_vfs_find(None), POINTER(Vfs)).contents
        copy = Vfs.from_buffer_copy(original)

        def opened(vfs: int, path: int | None, file: int, flags: int, out: Any) -> int:
            result: int = original.open(vfs, path, file, flags, out)
            name = self._name(ctypes.string_at(path)) if path else None
            if result == 0 and name is not None:
                self._names[file] = name
                self._wrap(cast(file, POINTER(File)).contents)
            return result

        def deleted(vfs: int, path: int, sync_folder: int) -> int:
            if (name := self._name(ctypes.string_at(path))) is not None:
                self._report("delete", name)
            result: int = original.delete(vfs, path, sync_folder)
            return result

        copy.name = b"watched"
        copy.open, copy.delete = OPEN(opened), DELETE(deleted)
        self._kept += [copy, original]
        found.sqlite3_vfs_register(pointer(copy), 1)

    def _wrap(self, file: File) -> None:
        address = ctypes.addressof(file.methods.contents)
        if address not in self._wrapped:
            original = file.methods.contents
            copy = Methods.from_buffer_copy(original)

            def write(file: int, data: int, size: int, offset: int) -> int:
                self._report("write", self._names[file], offset, ctypes.string_at(data, size))
                result: int = original.write(file, data, size, offset)
                return result

            def truncate(file: int, size: int) -> int:
                self._report("truncate", self._names[file], size)
                result: int = original.truncate(file, size)
                return result

            def sync(file: int, _: int) -> int:
                self._report("sync", self._names[file])
                return 0

            copy.write, copy.truncate, copy.sync = WRITE(write), TRUNCATE(truncate), SYNC(sync)
            self._wrapped[address] = copy
            self._kept.append(original)
        file.methods = pointer(self._wrapped[address])

    def _watch_python(self) -> None:
        """What the identity and the credential do: written beside, synced, renamed over."""
        replace = os.replace

        def replaced(source: Any, target: Any, **kw: Any) -> None:
            if (name := self._name(os.fsencode(target))) is not None:
                self._report("rename", name)
            replace(source, target, **kw)

        def synced(descriptor: int) -> None:
            path = os.fsencode(Path(f"/proc/self/fd/{descriptor}").readlink())
            if (name := self._name(path)) is not None or path + b"/" == self._prefix:
                self._report("sync", name or "folder")

        os.replace, os.fsync = replaced, synced
