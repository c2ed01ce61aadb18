"""The journal: every finished turn on disk before it counts as done."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any

from sqlite_utils import Database

from edge_runtime.errors import StorageError
from edge_runtime.journal import payloads, rows
from edge_runtime.journal.database import held, open_database, reading, transaction
from edge_runtime.journal.figures import figures
from edge_runtime.journal.identity import Identity, load_identity
from edge_runtime.journal.outbox import Outbox
from edge_runtime.journal.persons import Persons
from edge_runtime.journal.records import JournalStats, Pruned, Retention, TurnRecord
from edge_runtime.journal.redact import RedactionPolicy, Redactor
from edge_runtime.journal.rows import clean

MAX_STATE_CHARS = 1_000_000
MAX_BODY_CHARS = 1_000_000
_HISTORY = 6


class Journal:
    """Turns, session states and the outbox of one device in one SQLite file.

    Thread-safe: one connection behind one lock. Several processes may open the same file.

    Attributes:
        device_id: this device's name; the same as long as the identity file lives.
        stream: names this database; sequence numbers count within it.
        recovered: where a damaged database was moved to when opening, else ``None``.
        outbox: the records waiting for the server.
        persons: erases a customer, and hands out what is kept of one.
    """

    def __init__(
        self,
        path: Path,
        db: Database,
        lock_file: int,
        identity: Identity,
        recovered: Path | None,
        *,
        policy: RedactionPolicy | None = None,
        retention: Retention | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._db = db
        self._lock = RLock()
        self._lock_file = lock_file
        self._redactor = Redactor(identity.key, policy)
        self._retention = retention or Retention()
        self._clock = clock
        self._closed = False
        self.device_id = identity.device_id
        self.recovered = recovered
        self.outbox = Outbox(db, self._lock, path)
        with reading(path):
            (self.stream,) = db.conn.execute(
                "SELECT value FROM meta WHERE name = 'stream'"
            ).fetchone()
        self.persons = Persons(
            db,
            self._lock,
            path,
            self.outbox,
            [self._redactor, *(Redactor(key, policy) for key in identity.former_keys)],
            identity=identity,
            stream=self.stream,
            shrink=self._shrink,
        )

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        device_id: str | None = None,
        policy: RedactionPolicy | None = None,
        retention: Retention | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Journal:
        """Open or create the journal at ``path``; ``device.json`` beside it is the identity.

        Raises:
            StorageError: it cannot be written, or is damaged while another process uses it.
            ConfigError: the device already has another id than ``device_id``.
        """
        identity, lost_identity = load_identity(path.parent / "device.json", device_id)
        db, aside, lock_file = open_database(path)
        journal = cls(
            path,
            db,
            lock_file,
            identity,
            aside,
            policy=policy,
            retention=retention,
            clock=clock,
        )
        if aside is not None:
            journal.audit("journal_recovered", {"moved_to": aside.name})
        if lost_identity is not None:
            journal.audit("identity_recovered", {"moved_to": lost_identity.name})
        return journal

    def record(self, turn: TurnRecord, *, state_json: str | None) -> int:
        """Keep a finished turn, its session's state and its outgoing records, in one commit.

        Recording a ``turn_id`` again changes nothing, so a failed call may simply be repeated.

        Args:
            state_json: the session's state after this turn; ``None`` leaves it as it was.

        Returns:
            The turn's number in this journal, counting from 1.

        Raises:
            StorageError: disk full, read-only, locked or damaged; nothing of the turn was kept.
        """
        body = payloads.encode(asdict(turn))
        if len(body) > MAX_BODY_CHARS or len(state_json or "") > MAX_STATE_CHARS:
            raise StorageError(
                f"Turn {turn.turn_id} is too large to keep: {len(body)} characters of turn and "
                f"{len(state_json or '')} of session state."
            )
        earlier = self.last_turns(turn.session, _HISTORY)
        outgoing = payloads.outgoing(turn, earlier, self._redactor)
        now = self._now()
        with self._lock, transaction(self._db, self._path) as db:
            number = rows.insert_turn(db, turn, body)
            if number is None:
                return rows.number_of(db, turn.turn_id)
            if state_json is not None:
                rows.put_state(db, turn.session, state_json, now)
            seqs = [self.outbox.append(kind, now, payload) for kind, payload in outgoing]
            db.conn.execute("UPDATE turns SET first_seq = ? WHERE number = ?", (seqs[0], number))
            self.outbox.enforce(self._retention)
            return number

    def audit(self, event: str, detail: Mapping[str, Any]) -> int:
        """Report something that happened to the device itself; the outgoing record's number.

        Raises:
            StorageError: it could not be written.
        """
        # Figures are the device's own; only words can name a person.
        masked = {
            str(name): str(value)
            if isinstance(value, int | float)
            else self._redactor.text(str(value))
            for name, value in detail.items()
        }
        now = self._now()
        with self._lock, transaction(self._db, self._path):
            return self.outbox.append("audit", now, {"event": event, "at": now, "detail": masked})

    def session_state(self, session: str) -> str | None:
        """The state last recorded for a session, or ``None``."""
        with self._lock, reading(self._path):
            row = self._db.conn.execute(
                "SELECT state FROM sessions WHERE session = ?", (clean(session),)
            ).fetchone()
        return row[0] if row else None

    def last_turns(self, session: str, n: int) -> list[TurnRecord]:
        """The newest ``n`` turns of a session, oldest first."""
        with self._lock, reading(self._path):
            rows = self._db.conn.execute(
                "SELECT body FROM turns WHERE session = ? ORDER BY number DESC LIMIT ?",
                (clean(session), max(n, 0)),
            ).fetchall()
        return [payloads.decode(body) for (body,) in reversed(rows)]

    def turns_since(self, number: int = 0, *, limit: int = 1000) -> list[tuple[int, TurnRecord]]:
        """Up to ``limit`` turns numbered above ``number``, in order."""
        with self._lock, reading(self._path):
            rows = self._db.conn.execute(
                "SELECT number, body FROM turns WHERE number > ? ORDER BY number LIMIT ?",
                (number, max(limit, 0)),
            ).fetchall()
        return [(found, payloads.decode(body)) for found, body in rows]

    def stats(self, *, since: str = "", now: datetime | None = None) -> JournalStats:
        """Counts, completion and escalation rates, median milliseconds per stage.

        Args:
            since: only turns started at or after this UTC time (ISO 8601).
            now: decides which dialogues are closed; the current time by default.
        """
        return figures(self._turns_from(since), now or self._clock())

    def remade(self, seq: int) -> tuple[str, str] | None:
        """The record (kind, JSON payload) that had a number, made again from its turn.

        ``None`` where the turn is gone (past its time, or erased) or the record was no turn's.
        """
        with self._lock, reading(self._path):
            row = self._db.conn.execute(
                "SELECT number, first_seq, body FROM turns WHERE first_seq <= ?"
                " ORDER BY first_seq DESC LIMIT 1",
                (seq,),
            ).fetchone()
            if row is None:
                return None
            number, first, body = row
            turn = payloads.decode(body)
            past = self._db.conn.execute(
                "SELECT body FROM turns WHERE session = ? AND number < ?"
                " ORDER BY number DESC LIMIT ?",
                (clean(turn.session), number, _HISTORY),
            ).fetchall()
        earlier = [payloads.decode(body) for (body,) in reversed(past)]
        records = payloads.outgoing(turn, earlier, self._redactor)
        if seq - first >= len(records):
            return None
        kind, payload = records[seq - first]
        return kind, payloads.encode(payload)

    @property
    def newest(self) -> int:
        """The number of the newest turn, 0 before the first."""
        with self._lock, reading(self._path):
            return rows.newest(self._db)

    def _turns_from(self, since: str) -> Iterator[TurnRecord]:
        number = 0
        while page := self.turns_since(number):
            number = page[-1][0]
            yield from (turn for _, turn in page if turn.started_at >= since)

    def prune(self, retention: Retention | None = None, *, now: datetime | None = None) -> Pruned:
        """Delete what is past its time, give up outgoing records over their caps, shrink the file.

        What is given up is counted, and a notice of each goes to the server: never silent.
        """
        rules = retention or self._retention
        today = now or self._clock()
        with self._lock, transaction(self._db, self._path) as db:
            turns, sessions = rows.delete_past(db, rules, today)
            dropped = self.outbox.enforce(rules)
        self._shrink()
        return Pruned(turns, sessions, dropped)

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="milliseconds")

    def _shrink(self) -> None:
        with self._lock, reading(self._path):
            self._db.conn.execute("PRAGMA incremental_vacuum").fetchall()
            self._db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def problems(self) -> Iterator[str]:
        """What SQLite's full check and the outbox's own find, in sentences; may take seconds."""
        with self._lock, reading(self._path):
            found = self._db.conn.execute("PRAGMA integrity_check(100)").fetchall()
        yield from (f"The journal is damaged: {line}." for (line,) in found if line != "ok")
        yield from self.outbox.problems()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """While this process alone sends this journal's records.

        Raises:
            StorageError: another process is sending them.
        """
        with held(self._path.with_name(f"{self._path.name}.sending")):
            yield

    def close(self) -> None:
        """Close the file. Closing twice is harmless; any other call afterwards is StorageError."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._db.close()
            except sqlite3.Error as error:
                raise StorageError(f"The journal {self._path} did not close: {error}.") from error
            finally:
                os.close(self._lock_file)
