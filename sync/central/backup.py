"""Backups: every table, as it was at one moment, in one file that fills either database.

The file is zstd-compressed JSON Lines: a head with the schema's revision, rows as
``[table, [values…]]``, and an end with their number, so that a file cut short is told from a whole
one. It is written from one transaction that sees a single state, while the server goes on working,
and appears complete or not at all.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from alembic.migration import MigrationContext
from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.orm import Session

from edge_runtime.errors import StorageError
from edge_runtime.files import atomic_writer
from sync.central.database import Database
from sync.central.errors import BackupError
from sync.central.tables import Base

_FORMAT = "edge-central backup 1"
_AT_ONCE = 500
_MAX_LINE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Written:
    """``size`` is the file's, in bytes."""

    rows: int
    size: int


def write(database: Database, path: Path) -> Written:
    """Write a backup to ``path``, readable by its owner only.

    Raises:
        StorageError: the database cannot be read or the file not written.
    """
    try:
        with (
            database.snapshot() as session,
            atomic_writer(path, mode=0o600) as file,
            zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as packed,
        ):
            rows = 0
            packed.write(_line({"format": _FORMAT, "revision": _revision(session)}))
            for table in Base.metadata.sorted_tables:
                for row in _rows(session, table):
                    packed.write(_line([table.name, list(row)]))
                    rows += 1
            packed.write(_line({"rows": rows}))
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from error
    return Written(rows, path.stat().st_size)


def read(database: Database, path: Path) -> int:
    """Fill an empty database from a backup, all of it or nothing; how many rows.

    Raises:
        BackupError: the file is no backup, is damaged, cut short or of another version; or the
            database is not empty.
        StorageError: the file cannot be read or the database not written.
    """
    try:
        with path.open("rb") as file, database.write() as session:
            lines = _lines(file, path)
            _check_head(next(lines, None), session, path)
            _require_empty(session)
            rows = _fill(session, lines, path)
            if database.is_postgresql:
                _restart_numbers(session)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
    return rows


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _rows(session: Session, table: Table) -> Iterator[Any]:
    return iter(session.execute(select(table), execution_options={"yield_per": _AT_ONCE}))


def _lines(file: Any, path: Path) -> Iterator[Any]:
    """The file's lines, parsed, each bounded."""
    unpacked = zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(file)
    try:
        with io.BufferedReader(unpacked, 2**20) as reader:
            while line := reader.readline(_MAX_LINE_BYTES):
                yield json.loads(line)
    except (zstandard.ZstdError, ValueError, RecursionError) as error:
        raise BackupError(f"{path} is no sound backup.") from error


def _check_head(head: Any, session: Session, path: Path) -> None:
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise BackupError(f"{path} is no backup of edge-central.")
    if head.get("revision") != _revision(session):
        raise BackupError(
            f"{path} was made by another version (schema {str(head.get('revision'))[:32]}).",
            hint="Restore it with the version that made it, then start this one on it.",
        )


def _revision(session: Session) -> str | None:
    return MigrationContext.configure(session.connection()).get_current_revision()


def _require_empty(session: Session) -> None:
    for table in Base.metadata.sorted_tables:
        if session.scalar(select(func.count()).select_from(table)):
            raise BackupError(
                f"The database is not empty: it has {table.name}.",
                hint="Restore into a new EDGE_CENTRAL_DATA_DIR or an empty database.",
            )


def _fill(session: Session, lines: Iterator[Any], path: Path) -> int:
    tables = Base.metadata.tables
    rows = 0
    name, waiting = "", list[dict[str, Any]]()
    for line in lines:
        match line:
            case [str(table), [*values]] if table in tables and len(values) == len(
                tables[table].columns
            ):
                if waiting and (table != name or len(waiting) == _AT_ONCE):
                    session.execute(insert(tables[name]), waiting)
                    waiting = []
                name = table
                waiting.append(dict(zip(tables[table].columns.keys(), values, strict=True)))
                rows += 1
            case {"rows": count} if count == rows:
                if waiting:
                    session.execute(insert(tables[name]), waiting)
                return rows
            case _:
                raise BackupError(f"{path} is damaged after row {rows}.")
    raise BackupError(f"{path} was cut short after row {rows}.")


def _restart_numbers(session: Session) -> None:
    """New rows are numbered after the restored ones."""
    for table in Base.metadata.sorted_tables:
        if "id" in table.columns and table.columns["id"].autoincrement is True:
            session.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "  # noqa: S608
                    f"coalesce(max(id), 0) + 1, false) FROM {table.name}"
                )
            )
