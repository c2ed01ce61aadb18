"""Backups: the whole database at one moment, restored into an empty one of either kind."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from central_kit import Fleet, fleet_on, metric, said
from sqlalchemy import select

from sync.central import backup
from sync.central.database import Database
from sync.central.errors import BackupError
from sync.central.tables import Base


def contents(database: Database) -> dict[str, list[object]]:
    with database.read() as session:
        return {
            table.name: sorted(tuple(row) for row in session.execute(select(table)))
            for table in Base.metadata.sorted_tables
        }


def filled(fleet: Fleet) -> Fleet:
    fleet.enrol("till-1", shop="Main")
    fleet.operator("ann", "viewer")
    fleet.send("till-1", [metric(1, 0), said(2, 0, intent="out_of_scope")])
    return fleet


def test_what_is_restored_is_what_was_backed_up_and_goes_on(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "b.jsonl.zst"
    written = backup.write(filled(fleet).database, file)
    assert file.stat().st_mode & 0o077 == 0
    with closing(Database(f"sqlite:///{tmp_path / 'new.db'}")) as new:
        assert backup.read(new, file) == written.rows > 5
        assert contents(new) == contents(fleet.database)
        with fleet_on(new, tmp_path / "o") as again:
            again.tokens = fleet.tokens
            assert again.send("till-1", [metric(1, 0), metric(3, 1)]).json()["contiguous"] == 3
        with pytest.raises(BackupError, match="not empty"):
            backup.read(new, file)


def test_a_backup_that_is_cut_short_or_damaged_restores_nothing(
    fleet: Fleet, tmp_path: Path
) -> None:
    file = tmp_path / "b.jsonl.zst"
    backup.write(filled(fleet).database, file)
    whole = file.read_bytes()
    with closing(Database(f"sqlite:///{tmp_path / 'new.db'}")) as new:
        empty = contents(new)
        for body in (b"", b"rubbish", whole[:-9], whole[: len(whole) // 2]):
            file.write_bytes(body)
            with pytest.raises(BackupError):
                backup.read(new, file)
        assert contents(new) == empty
