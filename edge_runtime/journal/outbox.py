"""Records waiting to leave the device, numbered without gaps, kept until the server has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from threading import RLock
from typing import Any

from sqlite_utils import Database

from edge_runtime.journal.database import reading, transaction
from edge_runtime.journal.payloads import encode
from edge_runtime.journal.records import (
    DROP_ORDER,
    PRIORITY,
    OutboxCounts,
    OutboxRecord,
    Retention,
)

_ROOM = 0.9
"""Over its cap a kind shrinks to this share of it, so that not every further turn must drop."""


class Outbox:
    """The outbox of one journal. Thread-safe: it shares the journal's connection and lock."""

    def __init__(self, db: Database, lock: RLock, path: Path) -> None:
        self._db = db
        self._lock = lock
        self._path = path

    def append(self, kind: str, created_at: str, payload: Mapping[str, Any]) -> int:
        """Add a record inside the transaction that is open; its sequence number."""
        text = encode(payload)
        cursor = self._db.conn.execute(
            "INSERT INTO outbox (kind, priority, created_at, size, payload) VALUES (?, ?, ?, ?, ?)",
            (kind, PRIORITY[kind], created_at, len(text.encode()), text),
        )
        return int(cursor.lastrowid or 0)

    def pending(
        self, *, limit_bytes: int, limit_records: int, kinds: Collection[str] | None = None
    ) -> list[OutboxRecord]:
        """The next records to send: notices, escalations, audit, turns, metrics; oldest first.

        At most ``limit_records`` and ``limit_bytes`` of payload, but never none while one waits.
        """
        sql = "SELECT seq, kind, created_at, payload, size FROM outbox"
        chosen = sorted(kinds) if kinds is not None else []
        if kinds is not None:
            sql += f" WHERE kind IN ({', '.join('?' * len(chosen))})"
        sql += " ORDER BY priority, seq LIMIT ?"
        picked: list[OutboxRecord] = []
        total = 0
        with self._lock, reading(self._path):
            for seq, kind, created_at, payload, size in self._db.conn.execute(
                sql, (*chosen, limit_records)
            ):
                total += size
                if picked and total > limit_bytes:
                    break
                picked.append(OutboxRecord(seq, kind, created_at, payload))
        return picked

    def acknowledge(self, seqs: Iterable[int]) -> int:
        """Delete records that the server has committed; how many there were.

        Raises:
            StorageError: the disk is read-only, full or damaged (they will be sent again).
        """
        with self._lock, transaction(self._db, self._path):
            deleted = self._db.conn.executemany(
                "DELETE FROM outbox WHERE seq = ?", [(int(seq),) for seq in seqs]
            )
            return max(deleted.rowcount, 0)

    def quarantine(self, seq: int, reason: str, *, known_to_server: bool = False) -> None:
        """Set aside a record that cannot be delivered; the content stays for a person to look at.

        Unless the server already knows, a small notice is sent in the record's place.
        """
        with self._lock, transaction(self._db, self._path):
            row = self._db.conn.execute(
                "SELECT kind, created_at, payload FROM outbox WHERE seq = ?", (seq,)
            ).fetchone()
            if row is None:
                return
            kind, created_at, payload = row
            if kind != "dropped":
                self._db.conn.execute(
                    "INSERT OR REPLACE INTO quarantine (seq, kind, created_at, reason, payload)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (seq, kind, created_at, reason[:500], payload),
                )
            if known_to_server:
                self._db.conn.execute("DELETE FROM outbox WHERE seq = ?", (seq,))
            else:
                self.replace_by_notice([(seq, kind)], "quarantined")

    def quarantined(self, *, limit: int = 100) -> list[tuple[OutboxRecord, str]]:
        """What was set aside, newest first, each with its reason."""
        with self._lock, reading(self._path):
            rows = self._db.conn.execute(
                "SELECT seq, kind, created_at, payload, reason FROM quarantine"
                " ORDER BY seq DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [(OutboxRecord(*row[:4]), row[4]) for row in rows]

    def counts(self) -> OutboxCounts:
        """How much waits per kind, what was dropped or set aside, and the highest number given."""
        with self._lock, reading(self._path):
            conn = self._db.conn
            waiting = {kind: held for kind, held in self._totals().items() if held[0]}
            dropped = conn.execute("SELECT kind, records FROM dropped").fetchall()
            (aside,) = conn.execute("SELECT COUNT(*) FROM quarantine").fetchone()
        return OutboxCounts(
            pending={kind: records for kind, (records, _) in waiting.items()},
            pending_bytes={kind: size for kind, (_, size) in waiting.items()},
            dropped=dict(dropped),
            quarantined=aside,
            highest_seq=self.highest(),
        )

    def highest(self) -> int:
        """The highest number given so far; 0 of none."""
        with self._lock, reading(self._path):
            found = self._db.conn.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'"
            ).fetchone()
        return int(found[0]) if found else 0

    def lowest(self) -> int:
        """The lowest number that still waits; one above the highest given where none does."""
        with self._lock, reading(self._path):
            (found,) = self._db.conn.execute("SELECT MIN(seq) FROM outbox").fetchone()
            return int(found) if found is not None else self.highest() + 1

    def recount(self) -> bool:
        """Set the kept totals to what counting finds; whether they were wrong.

        Raises:
            StorageError: the disk is read-only, full or damaged.
        """
        with self._lock, transaction(self._db, self._path):
            kept = {kind: held for kind, held in self._totals().items() if held[0]}
            found = self._counted()
            self._db.conn.execute("DELETE FROM outbox_totals")
            self._db.conn.executemany(
                "INSERT INTO outbox_totals VALUES (?, ?, ?)",
                [(kind, *held) for kind, held in found.items()],
            )
        return kept != found

    def problems(self) -> Iterator[str]:
        """What is wrong with the rows, in sentences; records that cannot be read are one of them.

        An upload sets unreadable records aside; :meth:`recount` corrects the totals.
        """
        with self._lock, reading(self._path):
            kept = {kind: held for kind, held in self._totals().items() if held[0]}
            if kept != self._counted():
                yield "The outbox's totals are wrong."
            torn = self._db.conn.execute(
                "SELECT seq FROM outbox WHERE NOT json_valid(payload) LIMIT 100"
            ).fetchall()
        yield from (f"Record {seq} cannot be read." for (seq,) in torn)

    def _counted(self) -> dict[str, tuple[int, int]]:
        rows = self._db.conn.execute("SELECT kind, COUNT(*), SUM(size) FROM outbox GROUP BY kind")
        return {kind: (records, size) for kind, records, size in rows}

    def enforce(self, rules: Retention) -> dict[str, int]:
        """Give up records over the caps, each kind's oldest first; how many of each kind.

        Runs inside the transaction that is open. Each leaves a notice under its own number, so
        that the server sees what is missing and the numbering stays without gaps.
        """
        held = left = self._totals()
        given_up: dict[str, int] = {}
        for kind in DROP_ORDER:
            size = held.get(kind, (0, 0))[1]
            goal = size
            if size > rules.caps.get(kind, size):
                goal = int(rules.caps[kind] * _ROOM)
            total = sum(size for _, size in left.values())
            if total > rules.total:
                goal = min(goal, max(0, size - (total - int(rules.total * _ROOM))))
            if goal < size and (count := self._give_up(kind, goal)):
                given_up[kind] = count
                left = self._totals()
        return given_up

    def _give_up(self, kind: str, goal: int) -> int:
        over = self._db.conn.execute(
            "SELECT seq, kind FROM (SELECT seq, kind, SUM(size) OVER"
            " (ORDER BY seq DESC) AS newer FROM outbox WHERE kind = ?)"
            " WHERE newer > ?",
            (kind, goal),
        ).fetchall()
        self.replace_by_notice(over, "cap")
        if over:
            self._db.conn.execute(
                "INSERT INTO dropped VALUES (?, ?) ON CONFLICT (kind)"
                " DO UPDATE SET records = records + excluded.records",
                (kind, len(over)),
            )
        return len(over)

    def _totals(self) -> dict[str, tuple[int, int]]:
        rows = self._db.conn.execute("SELECT kind, records, bytes FROM outbox_totals")
        return {kind: (records, size) for kind, records, size in rows}

    def replace_by_notice(self, rows: Iterable[tuple[int, str]], reason: str) -> None:
        """Put a notice in the place of records (number, kind), in the transaction that is open."""
        for seq, kind in rows:
            notice = encode({"kind": kind, "reason": reason})
            self._db.conn.execute(
                "UPDATE outbox SET kind = 'dropped', priority = ?, size = ?, payload = ?"
                " WHERE seq = ?",
                (PRIORITY["dropped"], len(notice), notice, seq),
            )
