"""Opening the device's small SQLite databases the same careful way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from edge_runtime.errors import StorageError

BUSY_S = 5.0


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite or the file system raises into ``StorageError``."""
    try:
        yield
    except StorageError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"The database {path.name} cannot be used: {error}.",
            hint=f"Check that {path.parent} is writable and the disk is not full.",
        ) from error


def open_database(path: Path) -> Database:
    """Open or create the database, durable at every commit, usable from any one thread at a time.

    Raises:
        StorageError: the folder is read-only, the disk full, or the file not a database.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
        try:
            database = Database(connection)
            database.enable_wal()
            database.execute("PRAGMA synchronous=FULL")
        except BaseException:
            connection.close()
            raise
        return database
