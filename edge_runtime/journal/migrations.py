"""The journal's schema as numbered steps. Append only: a shipped step never changes."""

from __future__ import annotations

import uuid

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

journal_migrations = Migrations("journal")


@journal_migrations(name="0001_journal")
def _0001_journal(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE turns (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            turn_id TEXT NOT NULL UNIQUE,
            session TEXT NOT NULL,
            started_at TEXT NOT NULL,
            decision TEXT NOT NULL,
            intent TEXT NOT NULL,
            outcome TEXT NOT NULL,
            body TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX turns_by_session ON turns (session, number)")
    db.execute("CREATE INDEX turns_by_time ON turns (started_at)")
    db.execute(
        """
        CREATE TABLE sessions (
            session TEXT PRIMARY KEY,
            state TEXT NOT NULL,
            updated_at TEXT NOT NULL
        )
        """
    )
    db.execute(
        """
        CREATE TABLE outbox (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            priority INTEGER NOT NULL,
            created_at TEXT NOT NULL,
            size INTEGER NOT NULL,
            payload TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX outbox_by_priority ON outbox (priority, seq)")
    db.execute(
        """
        CREATE TABLE quarantine (
            seq INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            created_at TEXT NOT NULL,
            reason TEXT NOT NULL,
            payload TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE TABLE dropped (kind TEXT PRIMARY KEY, records INTEGER NOT NULL)")
    db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    # Sequence numbers start again with a new database, so each database names its own stream:
    # the server tells records by (device, stream, seq).
    db.execute("INSERT INTO meta VALUES ('stream', ?)", [str(uuid.uuid4())])


@journal_migrations(name="0002_totals_and_persons")
def _0002_totals_and_persons(db: Database) -> None:
    # Kept by triggers, so that every turn can check the caps without counting the whole outbox.
    db.execute(
        """
        CREATE TABLE outbox_totals (
            kind TEXT PRIMARY KEY,
            records INTEGER NOT NULL,
            bytes INTEGER NOT NULL
        )
        """
    )
    db.execute("INSERT INTO outbox_totals SELECT kind, COUNT(*), SUM(size) FROM outbox GROUP BY 1")
    add = (
        "INSERT INTO outbox_totals VALUES (new.kind, 1, new.size) ON CONFLICT (kind) DO UPDATE"
        " SET records = records + 1, bytes = bytes + new.size;"
    )
    remove = (
        "UPDATE outbox_totals SET records = records - 1, bytes = bytes - old.size"
        " WHERE kind = old.kind;"
    )
    db.execute(f"CREATE TRIGGER outbox_added AFTER INSERT ON outbox BEGIN {add} END")
    db.execute(f"CREATE TRIGGER outbox_removed AFTER DELETE ON outbox BEGIN {remove} END")
    db.execute(
        "CREATE TRIGGER outbox_changed AFTER UPDATE OF kind, size ON outbox"
        f" BEGIN {remove} {add} END"
    )
    # The number of a turn's first outgoing record: the others follow it, so that what a server
    # lost can be made again from the turn.
    db.execute("ALTER TABLE turns ADD COLUMN first_seq INTEGER")
    db.execute("CREATE INDEX turns_by_seq ON turns (first_seq)")
    db.execute(
        """
        CREATE TABLE erasures (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            requested_at TEXT NOT NULL,
            pseudonyms TEXT NOT NULL,
            receipt TEXT NOT NULL,
            confirmed TEXT
        )
        """
    )
