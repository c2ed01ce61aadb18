"""The rows of turns and sessions. Every function is called inside a transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlite_utils import Database

from edge_runtime.journal.records import Retention, TurnRecord


def insert_turn(db: Database, turn: TurnRecord, body: str) -> int | None:
    """Add a turn; its number, or ``None`` where the journal has it already."""
    cursor = db.conn.execute(
        "INSERT INTO turns (turn_id, session, started_at, decision, intent, outcome, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (turn_id) DO NOTHING",
        (
            clean(turn.turn_id), clean(turn.session), clean(turn.started_at),
            clean(turn.decision), clean(turn.intent), clean(turn.outcome), body,
        ),
    )  # fmt: skip
    return int(cursor.lastrowid or 0) if cursor.rowcount else None


def number_of(db: Database, turn_id: str) -> int:
    """The number of a turn that the journal has."""
    (number,) = db.conn.execute(
        "SELECT number FROM turns WHERE turn_id = ?", (clean(turn_id),)
    ).fetchone()
    return int(number)


def newest(db: Database) -> int:
    """The number of the newest turn, 0 before the first."""
    (number,) = db.conn.execute("SELECT COALESCE(MAX(number), 0) FROM turns").fetchone()
    return int(number)


def put_state(db: Database, session: str, state_json: str, now: str) -> None:
    """Replace a session's state."""
    db.conn.execute(
        "INSERT INTO sessions VALUES (?, ?, ?) ON CONFLICT (session) DO UPDATE"
        " SET state = excluded.state, updated_at = excluded.updated_at",
        (clean(session), clean(state_json), now),
    )


def delete_past(db: Database, rules: Retention, today: datetime) -> tuple[int, int]:
    """Delete what is past its time; how many turns and sessions that were."""
    horizon = (today - timedelta(days=rules.days)).isoformat()
    last = newest(db)
    turns = db.conn.execute(
        "DELETE FROM turns WHERE number <= ? OR (started_at < ? AND number <= ?)",
        (last - rules.max_turns, horizon, last - rules.keep_turns),
    ).rowcount
    sessions = db.conn.execute(
        "DELETE FROM sessions WHERE updated_at < ? AND session NOT IN (SELECT session FROM turns)",
        (horizon,),
    ).rowcount
    db.conn.execute(
        "DELETE FROM quarantine WHERE created_at < ?",
        ((today - timedelta(days=rules.quarantine_days)).isoformat(),),
    )
    return turns, sessions


def clean(text: str) -> str:
    """Without lone surrogates, which SQLite refuses."""
    return text.encode("utf-8", "replace").decode()
