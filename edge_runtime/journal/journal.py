"""The journal: every finished turn on disk before it counts as done."""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any

from sqlite_utils import Database

from edge_runtime.errors import StorageError
from edge_runtime.journal import payloads
from edge_runtime.journal.completion import Step, dialogues, parse_time
from edge_runtime.journal.database import open_database, reading, transaction
from edge_runtime.journal.identity import load_identity
from edge_runtime.journal.outbox import Outbox
from edge_runtime.journal.records import JournalStats, Pruned, Retention, TurnRecord
from edge_runtime.journal.redact import RedactionPolicy, Redactor

MAX_STATE_CHARS = 1_000_000
MAX_BODY_CHARS = 1_000_000
_HISTORY = 6
_FIELDS = frozenset(field.name for field in fields(TurnRecord))
_TUPLES = frozenset({"entities", "sources", "blocked"})


class Journal:
    """Turns, session states and the outbox of one device in one SQLite file.

    Thread-safe: one connection behind one lock. Several processes may open the same file.

    Attributes:
        device_id: this device's name; the same as long as the identity file lives.
        stream: names this database; sequence numbers count within it.
        recovered: where a damaged database was moved to when opening, else ``None``.
        outbox: the records waiting for the server.
    """

    def __init__(
        self,
        path: Path,
        db: Database,
        lock_file: int,
        device_id: str,
        redactor: Redactor,
        recovered: Path | None,
    ) -> None:
        self._path = path
        self._db = db
        self._lock = RLock()
        self._lock_file = lock_file
        self._redactor = redactor
        self._closed = False
        self.device_id = device_id
        self.recovered = recovered
        self.outbox = Outbox(db, self._lock, path)
        with reading(path):
            (self.stream,) = db.conn.execute(
                "SELECT value FROM meta WHERE name = 'stream'"
            ).fetchone()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        device_id: str | None = None,
        policy: RedactionPolicy | None = None,
    ) -> Journal:
        """Open or create the journal at ``path``; ``device.json`` beside it is the identity.

        Raises:
            StorageError: it cannot be written, or is damaged while another process uses it.
            ConfigError: the device already has another id than ``device_id``.
        """
        identity, lost_identity = load_identity(path.parent / "device.json", device_id)
        db, aside, lock_file = open_database(path)
        journal = cls(
            path, db, lock_file, identity.device_id, Redactor(identity.key, policy), aside
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
        outgoing = [
            ("turn", payloads.turn_payload(turn, self._redactor)),
            ("metric", payloads.metric_payload(turn, self._redactor)),
        ]
        if turn.decision == "handover":
            past = self.last_turns(turn.session, _HISTORY)
            outgoing.insert(
                0, ("escalation", payloads.escalation_payload(turn, past, self._redactor))
            )
        now = _now()
        with self._lock, transaction(self._db, self._path) as db:
            cursor = db.conn.execute(
                "INSERT INTO turns (turn_id, session, started_at, decision, intent, outcome, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (turn_id) DO NOTHING",
                (
                    _clean(turn.turn_id), _clean(turn.session), _clean(turn.started_at),
                    _clean(turn.decision), _clean(turn.intent), _clean(turn.outcome), body,
                ),
            )  # fmt: skip
            if cursor.rowcount == 0:
                (number,) = db.conn.execute(
                    "SELECT number FROM turns WHERE turn_id = ?", (_clean(turn.turn_id),)
                ).fetchone()
                return int(number)
            if state_json is not None:
                db.conn.execute(
                    "INSERT INTO sessions VALUES (?, ?, ?) ON CONFLICT (session) DO UPDATE"
                    " SET state = excluded.state, updated_at = excluded.updated_at",
                    (_clean(turn.session), _clean(state_json), now),
                )
            for kind, payload in outgoing:
                self.outbox.append(kind, now, payload)
            return int(cursor.lastrowid or 0)

    def audit(self, event: str, detail: Mapping[str, Any]) -> int:
        """Report something that happened to the device itself; the outgoing record's number.

        Raises:
            StorageError: it could not be written.
        """
        masked = {str(name): self._redactor.text(str(value)) for name, value in detail.items()}
        now = _now()
        with self._lock, transaction(self._db, self._path):
            return self.outbox.append("audit", now, {"event": event, "at": now, "detail": masked})

    def session_state(self, session: str) -> str | None:
        """The state last recorded for a session, or ``None``."""
        with self._lock, reading(self._path):
            row = self._db.conn.execute(
                "SELECT state FROM sessions WHERE session = ?", (_clean(session),)
            ).fetchone()
        return row[0] if row else None

    def last_turns(self, session: str, n: int) -> list[TurnRecord]:
        """The newest ``n`` turns of a session, oldest first."""
        with self._lock, reading(self._path):
            rows = self._db.conn.execute(
                "SELECT body FROM turns WHERE session = ? ORDER BY number DESC LIMIT ?",
                (_clean(session), max(n, 0)),
            ).fetchall()
        return [_decode(body) for (body,) in reversed(rows)]

    def turns_since(self, number: int = 0, *, limit: int = 1000) -> list[tuple[int, TurnRecord]]:
        """Up to ``limit`` turns numbered above ``number``, in order."""
        with self._lock, reading(self._path):
            rows = self._db.conn.execute(
                "SELECT number, body FROM turns WHERE number > ? ORDER BY number LIMIT ?",
                (number, max(limit, 0)),
            ).fetchall()
        return [(found, _decode(body)) for found, body in rows]

    def stats(self, *, since: str = "", now: datetime | None = None) -> JournalStats:
        """Counts, completion and escalation rates, median milliseconds per stage.

        Args:
            since: only turns started at or after this UTC time (ISO 8601).
            now: decides which dialogues are closed; the current time by default.
        """
        steps: list[Step] = []
        timings: dict[str, list[float]] = {}
        decisions: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        sessions: set[str] = set()
        for turn in self._turns_from(since):
            decisions[turn.decision] += 1
            outcomes[turn.outcome] += 1
            sessions.add(turn.session)
            for stage, ms in turn.timings_ms.items():
                if ms is not None:  # a figure that was not finite is kept as null
                    timings.setdefault(stage, []).append(ms)
            try:
                at = parse_time(turn.started_at)
            except ValueError:
                continue
            steps.append(Step(turn.session, at, turn.decision, turn.intent, turn.outcome))
        steps.sort(key=lambda step: (step.session, step.at))
        closed = [d for d in dialogues(steps) if d.closed(now or datetime.now(UTC))]
        return JournalStats(
            turns=sum(outcomes.values()),
            sessions=len(sessions),
            dialogues=len(closed),
            completion_rate=sum(d.completed for d in closed) / len(closed) if closed else None,
            escalation_rate=sum(d.escalated for d in closed) / len(closed) if closed else None,
            decisions=dict(decisions),
            outcomes=dict(outcomes),
            median_ms={stage: statistics.median(values) for stage, values in timings.items()},
        )

    @property
    def newest(self) -> int:
        """The number of the newest turn, 0 before the first."""
        with self._lock, reading(self._path):
            (number,) = self._db.conn.execute(
                "SELECT COALESCE(MAX(number), 0) FROM turns"
            ).fetchone()
        return int(number)

    def _turns_from(self, since: str) -> Iterator[TurnRecord]:
        number = 0
        while page := self.turns_since(number):
            number = page[-1][0]
            yield from (turn for _, turn in page if turn.started_at >= since)

    def prune(self, retention: Retention | None = None, *, now: datetime | None = None) -> Pruned:
        """Delete what is past its time, give up outgoing records over their caps, shrink the file.

        What is given up is counted, and a notice of each goes to the server: never silent.
        """
        rules = retention or Retention()
        horizon = ((now or datetime.now(UTC)) - timedelta(days=rules.days)).isoformat()
        with self._lock, transaction(self._db, self._path) as db:
            (newest,) = db.conn.execute("SELECT COALESCE(MAX(number), 0) FROM turns").fetchone()
            turns = db.conn.execute(
                "DELETE FROM turns WHERE number <= ? OR (started_at < ? AND number <= ?)",
                (newest - rules.max_turns, horizon, newest - rules.keep_turns),
            ).rowcount
            sessions = db.conn.execute(
                "DELETE FROM sessions WHERE updated_at < ? AND session NOT IN"
                " (SELECT session FROM turns)",
                (horizon,),
            ).rowcount
            dropped = self.outbox.enforce(rules.caps)
        with self._lock, reading(self._path):
            self._db.conn.execute("PRAGMA incremental_vacuum").fetchall()
            self._db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return Pruned(turns, sessions, dropped)

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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _decode(body: str) -> TurnRecord:
    """A kept turn; fields a newer version added are ignored, ones it lacks take their default."""
    try:
        loaded = json.loads(body)
        values: dict[str, Any] = {
            name: tuple(value) if name in _TUPLES else value
            for name, value in loaded.items()
            if name in _FIELDS and value is not None
        }
        return TurnRecord(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise StorageError(f"The journal holds a turn that cannot be read: {error}.") from error
