"""The device's small SQLite databases, opened and written the same careful way."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge_runtime.errors import StorageError

BUSY_S = 5.0

Row = Mapping[str, Any]


class Records:
    """One SQLite file in WAL mode, durable at every commit, safe among threads and processes.

    Raises:
        StorageError: the folder is read-only, the disk full, or the file not a database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._storage_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
            try:
                self._database = Database(connection)
                self._database.enable_wal()
                self._database.execute("PRAGMA synchronous=FULL")
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def query(self, sql: str, *parameters: str | int | float) -> list[Row]:
        """Every row that ``sql`` gives, by column name."""
        with self._lock, self._storage_errors():
            return list(self._database.query(sql, parameters))

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """All or nothing; the write lock is taken before anything is read."""
        with self._lock, self._storage_errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.rollback()
                raise
            self._database.commit()

    def migrate(self, *steps: str) -> None:
        """Run the scripts this file has not seen yet, in order; append only, never change one.

        Raises:
            StorageError: the file was written by a newer version.
        """
        with self.transaction() as database:
            done = int(self.query("PRAGMA user_version")[0]["user_version"])
            if done > len(steps):
                raise StorageError(
                    f"The database {self._path.name} was written by a newer version.",
                    hint="Update this device's software.",
                )
            for step in steps[done:]:
                for statement in filter(str.strip, step.split(";")):
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {len(steps)}")

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except StorageError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"The database {self._path.name} cannot be used: {error}.",
                hint=f"Check that {self._path.parent} is writable and the disk is not full.",
            ) from error
