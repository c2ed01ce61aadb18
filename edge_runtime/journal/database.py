"""Opening the journal's SQLite file, and transactions whose failures are one clear error."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlite_utils import Database

from edge_runtime.errors import StorageError
from edge_runtime.journal.migrations import journal_migrations

_BUSY_MS = 5_000
_CHECK_SECONDS = 2.0
_DAMAGED = ("malformed", "not a database", "disk image", "corrupt", "file is encrypted")


class _DamagedError(Exception):
    """The file is not a sound journal."""


def open_database(path: Path) -> tuple[Database, Path | None, int]:
    """Open or create the journal at ``path``: WAL, every commit synced to disk.

    A damaged file is moved aside and a new one begun; its new name is the second value. The third
    is the descriptor of a shared lock that keeps another process from moving the file while it is
    open.

    Raises:
        StorageError: the folder or file cannot be written, or it is damaged while in use.
    """
    lock = _lock(path)
    try:
        try:
            return _connect(path), None, lock
        except _DamagedError as damage:
            aside = _move_aside(path, lock, damage)
            return _connect(path), aside, lock
    except _DamagedError as damage:
        os.close(lock)
        raise StorageError(f"The journal {path} is damaged: {damage}.") from damage
    except BaseException:
        os.close(lock)
        raise


def _lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            f"The journal folder {path.parent} cannot be written: {error.strerror}.",
            hint="Set EDGE_DATA_DIR to a writable folder.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StorageError(
            f"The journal {path} is being repaired by another process.", hint="Try again shortly."
        ) from None
    return lock


def _connect(path: Path) -> Database:
    connection: sqlite3.Connection | None = None
    try:
        fresh = not path.exists() or path.stat().st_size == 0
        connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, check_same_thread=False)
        with suppress(OSError):
            path.chmod(0o600)
        if fresh:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        _check(connection)
        db = Database(connection, execute_plugins=False)
        connection.execute("BEGIN IMMEDIATE")
        journal_migrations.apply(db)
        connection.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        if _is_damage(error):
            raise _DamagedError(str(error)) from error
        raise storage_error(path, error) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return db


def _check(connection: sqlite3.Connection) -> None:
    """SQLite's own check, given up after two seconds so that a big journal still opens quickly."""
    deadline = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"database disk image is malformed ({verdict})")


def _is_damage(error: Exception) -> bool:
    return isinstance(error, sqlite3.DatabaseError) and any(word in str(error) for word in _DAMAGED)


def _move_aside(path: Path, lock: int, damage: _DamagedError) -> Path:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StorageError(
            f"The journal {path} is damaged and another process still has it open: {damage}.",
            hint="Stop the other edge-runtime or edge-sync process and start again.",
        ) from damage
    try:
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            companion = path.with_name(path.name + suffix)
            if companion.exists():
                companion.replace(aside.with_name(aside.name + suffix))
        _sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    fcntl.flock(lock, fcntl.LOCK_SH)
    return aside


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def transaction(db: Database, path: Path) -> Iterator[Database]:
    """One write transaction: all of it is on disk when the block ends, or none of it is.

    Raises:
        StorageError: disk full, read-only, locked or damaged.
    """
    try:
        db.conn.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.conn.execute("COMMIT")
        except BaseException:
            if db.conn.in_transaction:
                db.conn.execute("ROLLBACK")
            raise
    except (sqlite3.Error, OverflowError) as error:
        raise storage_error(path, error) from error


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the file ``path`` against other processes; the system lets it go if this one dies.

    Raises:
        StorageError: another process holds it, or it cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(
                "Another process is sending this device's records.", hint="Try again shortly."
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Reads whose database errors come out as StorageError."""
    try:
        yield
    except sqlite3.Error as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: Exception) -> StorageError:
    """The one sentence for a database error."""
    text = str(error)
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in text:
        return StorageError(f"The journal {path} has been closed.")
    if "full" in text:
        return StorageError(
            f"The disk is full: the journal {path} cannot grow.", hint="Free some space."
        )
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        return StorageError(
            f"The journal {path} cannot be written (read-only or no permission).",
            hint="Check the disk and EDGE_DATA_DIR.",
        )
    if "locked" in text or "busy" in text:
        return StorageError(f"The journal {path} is locked by another process.", hint="Try again.")
    if _is_damage(error):
        return StorageError(
            f"The journal {path} is damaged: {text}.",
            hint="Restart: the damaged file is moved aside and a new one begun.",
        )
    return StorageError(f"The journal {path} failed: {text}.")
