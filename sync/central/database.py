"""The server's database: SQLite in one file, or PostgreSQL, with the same code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import (
    URL,
    Engine,
    create_engine,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from edge_runtime.bundles.blobs import exclusive
from edge_runtime.errors import ConfigError, StorageError

_UPGRADE_LOCK = 0x65646765  # "edge": any number that nobody else uses in this database
_ALONE_LOCK = _UPGRADE_LOCK + 1


class Database:
    """An engine whose schema is up to date.

    Raises:
        ConfigError: the address is wrong, or its driver is not installed.
        StorageError: the database cannot be reached, written or brought up to date.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() == "sqlite" and parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            self._engine = create_engine(parsed, **_options(parsed.get_backend_name()))
        except (ArgumentError, ImportError) as error:
            raise ConfigError(
                f"The database address cannot be used: {error}.",
                hint="Correct EDGE_CENTRAL_DATABASE_URL.",
            ) from error
        except OSError as error:
            raise StorageError(f"The data folder cannot be made: {error.strerror}.") from error
        if self._engine.dialect.name == "sqlite":
            _prepare_sqlite(self._engine)
        self._writer = self._engine.execution_options(edge_writes=True)
        self._upgrade()

    def _upgrade(self) -> None:
        config = Config()
        config.set_main_option("script_location", "sync.central:migrations")
        try:
            with self._writer.begin() as connection:
                if self.is_postgresql:
                    # Replicas that start together take turns; SQLite's write lock does the same.
                    connection.execute(select(func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except (SQLAlchemyError, CommandError) as error:
            self._engine.dispose()
            raise StorageError(
                f"The central database cannot be opened or brought up to date: {_short(error)}."
            ) from error

    @property
    def is_postgresql(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    @property
    def url(self) -> URL:
        return self._engine.url

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading."""
        with self._session(self._engine) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A session that sees one state of the whole database, however long it reads."""
        options = {"isolation_level": "REPEATABLE READ"} if self.is_postgresql else {}
        with self._session(self._engine.execution_options(**options)) as session:
            if self.is_postgresql:
                session.execute(text("SET TRANSACTION READ ONLY"))
                session.execute(text("SET LOCAL statement_timeout = 0"))
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that is committed to disk when the block ends, or leaves nothing behind."""
        with self._session(self._writer) as session, session.begin():
            yield session

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold this database against whoever else calls this; its sessions go on meanwhile.

        Raises:
            StorageError: another held it for too long, or the database failed.
        """
        if self.is_postgresql:
            with self.read() as session:
                session.execute(select(func.pg_advisory_xact_lock(_ALONE_LOCK)))
                yield
        else:
            with exclusive(Path(self.url.database or ".").parent):
                yield

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        try:
            with Session(engine, expire_on_commit=False) as session:
                yield session
        except SQLAlchemyError as error:
            raise StorageError(f"The central database failed: {_short(error)}.") from error

    def close(self) -> None:
        self._engine.dispose()


def insert_into(session: Session, table: type[Any]) -> Any:
    """An insert that knows ``on_conflict_…``, which both databases do and SQLAlchemy's own not."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def insert_many(session: Session, table: type[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all name the same columns, by COPY where the database knows it.

    Raises:
        SQLAlchemyError: as any other statement.
    """
    if session.get_bind().dialect.name != "postgresql":
        session.execute(insert(table), rows)
        return
    columns = tuple(rows[0])
    statement = f"COPY {table.__tablename__} ({', '.join(columns)}) FROM STDIN"
    values = itemgetter(*columns)
    connection: Any = session.connection().connection.driver_connection
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(values(row))
    except session.get_bind().dialect.loaded_dbapi.Error as error:
        raise DBAPIError(statement, None, error) from error


def _options(backend: str) -> dict[str, Any]:
    """No statement, lock or connection is waited for without end.

    Connections are not tried before each use: when the database was restarted, the first request
    to notice is answered 503 and all connections are made anew.
    """
    options: dict[str, Any] = {}
    if backend == "postgresql":
        options |= {
            "pool_size": 10,
            "max_overflow": 10,
            "pool_timeout": 15,
            "connect_args": {
                "connect_timeout": 10,
                "options": "-c statement_timeout=120s -c lock_timeout=30s -c timezone=UTC",
            },
        }
    return options


def _prepare_sqlite(engine: Engine) -> None:
    """Write transactions take their lock at the start: one that began by reading could otherwise
    find, too late to wait, that another had written meanwhile."""

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA busy_timeout = 10000")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("edge_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _short(error: Exception) -> str:
    """The driver's own words, without the statement and its values."""
    original = getattr(error, "orig", None) or error
    return str(original).splitlines()[0][:200] if str(original) else type(error).__name__
