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
