"""The schema: its steps, replicas that start together, and addresses that cannot be used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from edge_runtime.errors import ConfigError, StorageError
from sync.central.database import Database
from sync.central.tables import Base, DayMark, Device


def test_the_steps_lead_to_the_tables_in_code(database: Database) -> None:
    with database.read() as session:
        context = MigrationContext.configure(session.connection())
        assert compare_metadata(context, Base.metadata) == []


def test_an_older_database_keeps_its_devices_and_has_its_days_counted(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "sync.central:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO devices VALUES ('till-1', 'Main', 'h', 't', 't', 0, '', '')")
        )
        connection.execute(
            text(
                "INSERT INTO turn_metrics VALUES ('till-1', 's', 1, 'u', "
                "'2026-03-02T10:00:00.000+00:00', 'zh', 'i', 'answer', 'done', 1, 2, 0, '0.1')"
            )
        )
    engine.dispose()
    with closing(Database(url)) as database, database.read() as session:
        assert [device.ring for device in session.scalars(select(Device))] == [""]
        (mark,) = session.scalars(select(DayMark)).all()
        assert (mark.device_id, mark.day) == ("till-1", "2026-03-02")


def test_replicas_that_start_together_upgrade_once(postgres: Callable[[], str]) -> None:
    url = make_url(postgres())
    with closing(Database(url.render_as_string(hide_password=False))) as first, first.write() as s:
        s.execute(text("DROP SCHEMA public CASCADE"))
        s.execute(text("CREATE SCHEMA public"))
    problems: list[Exception] = []

    def start() -> None:
        try:
            Database(url.render_as_string(hide_password=False)).close()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []


def test_a_database_from_a_newer_version_is_refused(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database, database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="up to date"):
        Database(sqlite_url)


def test_a_database_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(StorageError):
        Database(f"sqlite:///{tmp_path / 'c.db'}")
    with pytest.raises(ConfigError):
        Database("no address at all")
    with pytest.raises(StorageError):
        Database("postgresql+psycopg://nobody@127.0.0.1:9/none")
