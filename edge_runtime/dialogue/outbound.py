"""Calls to the shop's own system that wait, on disk, for a connection.

Each call carries an idempotency key: it is sent until it is answered, so at least once, and a
system that honours the key (draft-ietf-httpapi-idempotency-key-header) acts on it exactly once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_runtime.dialogue.database import Records
from edge_runtime.errors import StorageError

MAX_WAITING = 1000
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 3600.0
LEASE_S = 60.0
"""How long a sender keeps a call to itself; longer than any call may take."""

_CREATE = """CREATE TABLE calls (key TEXT PRIMARY KEY, skill TEXT NOT NULL,
    body TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, next_at REAL NOT NULL)"""

Delivery = Literal["done", "refused", "unreachable"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the declared skill ``skill`` with the fields it sends."""

    key: str
    skill: str
    fields: Mapping[str, str]


class OutboundQueue:
    """Waiting calls in one SQLite file, safe among threads and processes.

    Raises:
        StorageError: the file cannot be opened or written.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._records = Records(path)
        self._records.migrate(_CREATE)

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def add(self, call: Call) -> None:
        """Keep ``call`` until it is answered; the same key is kept once.

        Raises:
            StorageError: too many calls are waiting already, or the disk is full.
        """
        with self._records.transaction() as database:
            if self.waiting() >= MAX_WAITING:
                raise StorageError(
                    f"More than {MAX_WAITING} calls wait for the shop's own system.",
                    hint="Reconnect the device.",
                )
            body = json.dumps(dict(call.fields), ensure_ascii=False)
            database.execute(
                "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, 'waiting', 0, ?)",
                [call.key, call.skill, body, self._now()],
            )

    def waiting(self) -> int:
        """How many calls have not been answered yet."""
        rows = self._records.query("SELECT count(*) AS n FROM calls WHERE state = 'waiting'")
        return int(rows[0]["n"])

    def flush(self, send: Callable[[Call], Delivery]) -> int:
        """Send every call that is due, oldest first; gives how many were done.

        A call that cannot reach the shop's system is tried again after twice the time; one that
        is refused is kept, marked, and not tried again. The first that is unreachable ends the
        round.
        """
        done = 0
        while (claimed := self._claim()) is not None:
            call, attempts = claimed
            delivery = send(call)
            self._settle(call.key, delivery, attempts)
            if delivery == "unreachable":
                break
            done += delivery == "done"
        return done

    def _claim(self) -> tuple[Call, int] | None:
        now = self._now()
        with self._records.transaction() as database:
            rows = self._records.query(
                "SELECT * FROM calls WHERE state = 'waiting' AND next_at <= ?"
                " ORDER BY rowid LIMIT 1",
                now,
            )
            if not rows:
                return None
            row = rows[0]
            database.execute(
                "UPDATE calls SET next_at = ?, attempts = attempts + 1 WHERE key = ?",
                [now + LEASE_S, row["key"]],
            )
            return Call(row["key"], row["skill"], json.loads(row["body"])), row["attempts"] + 1

    def _settle(self, key: str, delivery: Delivery, attempts: int) -> None:
        with self._records.transaction() as database:
            if delivery == "done":
                database.execute("DELETE FROM calls WHERE key = ?", [key])
            elif delivery == "refused":
                database.execute("UPDATE calls SET state = 'refused' WHERE key = ?", [key])
            else:
                wait = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempts - 1, 20))
                due = self._now() + wait
                database.execute("UPDATE calls SET next_at = ? WHERE key = ?", [due, key])
