"""How often a process that served a bundle did not end well.

Such a process holds a lock on a note of what it serves for as long as it lives, and takes the note
away when it ends. A note whose lock is free was left by one that crashed: a fault in an engine, too
much memory, a hang that the watchdog ended. Where the device itself was started anew since, it was
perhaps a power cut, which says nothing about a bundle.
"""

from __future__ import annotations

import fcntl
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_runtime.bundles.blobs import SHA256, exclusive, storage_errors
from edge_runtime.bundles.documents import LATEST, Digest, Strict, canonical_json, kept_document
from edge_runtime.errors import ModelCorruptError
from edge_runtime.files import write_atomic

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MAX_KEPT = 200
_MAX_NOTE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Crash:
    """``sha256`` is that of the manifest that was served; ``at``, UTC, when it was found out."""

    sha256: str
    at: datetime


class ServingNote:
    """This process's note.

    Args:
        root: the folder of the slots.
        boot: tells one run of the device from the next; "" where that cannot be told.
    """

    def __init__(self, root: Path, boot: str | None = None) -> None:
        self._root = root
        self._folder = root / "serving"
        self._boot = _boot() if boot is None else boot
        self._path = self._folder / uuid.uuid4().hex
        self._file: FileIO | None = None

    def serve(self, sha256: str | None) -> None:
        """Note what is served from now on (``None``: the device's own models), and keep the crashes
        of processes before this one.

        Raises:
            StorageError: it cannot be written.
        """
        with exclusive(self._root), storage_errors(self._root):
            if self._file is None:
                self._folder.mkdir(exist_ok=True)
                self._collect()
                self._file = self._path.open("wb", buffering=0)
                fcntl.flock(self._file, fcntl.LOCK_EX)
            self._file.truncate(0)
            self._file.seek(0)
            self._file.write(json.dumps([self._boot, sha256 or ""]).encode())

    def end(self) -> None:
        """This process ends well."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink()
            self._file.close()
            self._file = None

    def _collect(self) -> None:
        found = []
        for path in self._folder.iterdir():
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                boot, sha256 = _read(file.read(_MAX_NOTE_BYTES))
                if boot and boot == self._boot and SHA256.fullmatch(sha256):
                    found.append(Crash(sha256, datetime.now(UTC)))
                path.unlink(missing_ok=True)
        if found:
            _keep(self._root, [*crashes(self._root), *found])


def crashes(root: Path) -> list[Crash]:
    """The crashes that are kept of the slots under ``root``, oldest first.

    Raises:
        StorageError: they cannot be read.
    """
    try:
        kept = kept_document(_Kept, root / "crashes.json", "list of crashes")
    except ModelCorruptError:
        return []  # it is evidence only: nothing stops for want of it
    entries = kept.crashes if kept else ()
    return [Crash(each.sha256, datetime.fromtimestamp(each.at, UTC)) for each in entries]


def forget_crashes(root: Path, sha256: str) -> None:
    """A bundle that is tried anew starts without those of an earlier trial.

    Raises:
        StorageError: they cannot be written.
    """
    kept = crashes(root)
    others = [crash for crash in kept if crash.sha256 != sha256]
    if others != kept:
        _keep(root, others)


def _keep(root: Path, kept: list[Crash]) -> None:
    entries = [{"sha256": c.sha256, "at": int(c.at.timestamp())} for c in kept[-_MAX_KEPT:]]
    with storage_errors(root):
        write_atomic(root / "crashes.json", canonical_json({"schema": 1, "crashes": entries}))


def _read(note: bytes) -> tuple[str, str]:
    try:
        match json.loads(note):
            case [str(boot), str(sha256)]:
                return boot, sha256
    except ValueError:
        pass  # its process was killed as it wrote
    return "", ""


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


class _Entry(Strict):
    sha256: Digest
    at: int = Field(ge=0, le=LATEST)


class _Kept(Strict):
    schema_: Literal[1] = Field(alias="schema")
    crashes: tuple[_Entry, ...] = Field(max_length=_MAX_KEPT)
