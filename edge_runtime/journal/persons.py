"""A customer's rights on this device: to be forgotten, and to see what is kept.

Erasing is one transaction: the person's turns, session states and set-aside records go, waiting
records become notices (so that the numbering stays without gaps), a receipt is kept and an audit
record that names its sha256 leaves for the server. The server is asked to erase as well by the
uplink, which keeps asking until the server has answered with a receipt of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock

from sqlite_utils import Database

from edge_runtime.errors import InputError, StorageError
from edge_runtime.journal import contacts, payloads
from edge_runtime.journal.database import reading, transaction
from edge_runtime.journal.identity import Identity
from edge_runtime.journal.outbox import Outbox
from edge_runtime.journal.records import TurnRecord
from edge_runtime.journal.redact import Redactor

MAX_USER_CHARS = 1_000
_ERASED = "erased"
_Turn = tuple[int, str, str]
"""A turn's number, id and session."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure on this device.

    ``receipt`` is JSON text; ``digest`` its sha256, which the audit record carries. ``confirmed``
    is the server's own receipt, or "" until it has answered.
    """

    number: int
    requested_at: str
    pseudonyms: tuple[str, ...]
    receipt: str
    confirmed: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.receipt.encode()).hexdigest()


class Persons:
    """The persons in one journal. Thread-safe: it shares the journal's connection and lock.

    Args:
        redactors: of the key in use and of every key used before it.
        shrink: gives freed pages back and empties the write-ahead log.
    """

    def __init__(
        self,
        db: Database,
        lock: RLock,
        path: Path,
        outbox: Outbox,
        redactors: Sequence[Redactor],
        *,
        identity: Identity,
        stream: str,
        shrink: Callable[[], None],
    ) -> None:
        self._db = db
        self._lock = lock
        self._path = path
        self._outbox = outbox
        self._redactors = redactors
        self._identity = identity
        self._stream = stream
        self._shrink = shrink

    @property
    def key_digits(self) -> str:
        """The pseudonym key in hexadecimal digits, to be carried to the shop's other devices."""
        return self._identity.key.hex()

    def pseudonyms(self, user: str) -> tuple[str, ...]:
        """What the person is called outside this device, under every key it has used.

        Raises:
            InputError: the id is empty or too long.
        """
        if not user.strip() or len(user) > MAX_USER_CHARS:
            raise InputError("A person's id is needed.", hint="Give it with --user ID.")
        return tuple(payloads.user_pseudonym(user, redactor) for redactor in self._redactors)

    def turns(self, user: str) -> list[TurnRecord]:
        """Everything kept of the person's turns, oldest first, unmasked: it is theirs."""
        with self._lock, reading(self._path):
            rows = self._db.conn.execute(
                "SELECT body FROM turns WHERE json_extract(body, '$.user') = ? ORDER BY number",
                (user,),
            ).fetchall()
        return [payloads.decode(body) for (body,) in rows]

    def erase(self, user: str, *, now: datetime | None = None) -> Erasure:
        """Remove the person with this id from this device.

        Damaged journals that were moved aside go altogether: nobody can tell whom they hold.

        Raises:
            InputError: the id is empty or too long.
            StorageError: nothing was removed.
        """
        return self._erase(self.pseudonyms(user), lambda: self._turns_of(user), now)

    def erase_contact(self, contact: str, *, now: datetime | None = None) -> Erasure:
        """Remove whoever gave this phone, e-mail address, card or other number, however written.

        Here the dialogues go in which it was given, as far as they are the same person's (or
        nobody's in particular); what waits for the server or lies there goes where it holds the
        contact's pseudonym.

        Raises:
            InputError: it is none of these.
            StorageError: nothing was removed.
        """
        given = [contacts.recognised(contact, redactor) for redactor in self._redactors]
        masks = tuple(mask for found, _ in given for mask in found)
        value = given[0][1]
        return self._erase(masks, lambda: self._dialogues_with(value, masks), now)

    def _turns_of(self, user: str) -> list[_Turn]:
        return self._db.conn.execute(
            "SELECT number, turn_id, session FROM turns WHERE json_extract(body, '$.user') = ?",
            (user,),
        ).fetchall()

    def _dialogues_with(self, value: str, masks: Sequence[str]) -> list[_Turn]:
        found: dict[int, _Turn] = {}
        for session, user in self._who_gave(value, masks):
            rows = self._db.conn.execute(
                "SELECT number, turn_id, body FROM turns WHERE session = ?"
                " AND json_extract(body, '$.user') IN ('', ?) ORDER BY started_at, number",
                (session, user),
            ).fetchall()
            for dialogue in contacts.dialogues(rows):
                if any(self._holds(body, value, masks) for _, _, body in dialogue):
                    found |= {number: (number, turn, session) for number, turn, _ in dialogue}
        return list(found.values())

    def _who_gave(self, value: str, masks: Sequence[str]) -> set[tuple[str, str]]:
        return {
            (session, payloads.decode(body).user)
            for session, body in self._db.conn.execute("SELECT session, body FROM turns")
            if self._holds(body, value, masks)
        }

    def _holds(self, body: str, value: str, masks: Sequence[str]) -> bool:
        if not contacts.may_hold(body, value):
            return False
        turn = payloads.decode(body)
        sent = [
            payloads.encode(payloads.turn_payload(turn, redactor)) for redactor in self._redactors
        ]
        return any(mask in payload for mask in masks for payload in sent)

    def _erase(
        self, masks: tuple[str, ...], find: Callable[[], list[_Turn]], now: datetime | None
    ) -> Erasure:
        at = (now or datetime.now(UTC)).isoformat(timespec="milliseconds")
        with self._lock, transaction(self._db, self._path) as db:
            erased = find()
            waiting = self._waiting({turn_id for _, turn_id, _ in erased}, masks)
            self._outbox.replace_by_notice(waiting, _ERASED)
            aside = 0
            for mask in masks:
                aside += db.conn.execute(
                    "DELETE FROM quarantine WHERE instr(payload, ?)", (mask,)
                ).rowcount
            sessions = 0
            for turn, _, session in erased:
                db.conn.execute("DELETE FROM turns WHERE number = ?", (turn,))
                sessions += db.conn.execute(
                    "DELETE FROM sessions WHERE session = ?", (session,)
                ).rowcount
            copies = sorted(self._path.parent.glob(f"{self._path.name}.damaged-*"))
            receipt = payloads.encode(
                {
                    "device_id": self._identity.device_id, "stream": self._stream,
                    "through_seq": self._outbox.highest(),
                    "requested_at": at, "pseudonyms": masks, "turns": len(erased),
                    "sessions": sessions, "records": len(waiting), "set_aside": aside,
                    "damaged_copies": len(copies),
                }
            )  # fmt: skip
            number = db.conn.execute(
                "INSERT INTO erasures (requested_at, pseudonyms, receipt) VALUES (?, ?, ?)",
                (at, json.dumps(masks), receipt),
            ).lastrowid
            done = Erasure(int(number or 0), at, masks, receipt, "")
            self._outbox.append(
                "audit",
                at,
                {"event": "person_erased", "at": at, "detail": {"receipt": done.digest}},
            )
            self._remove(copies)
        self._shrink()
        return done

    def _waiting(self, turn_ids: set[str], masks: Sequence[str]) -> list[tuple[int, str]]:
        rows = self._db.conn.execute(
            "SELECT seq, kind, payload,"
            " CASE WHEN json_valid(payload) THEN json_extract(payload, '$.turn_id') END"
            " FROM outbox WHERE kind NOT IN ('dropped', 'audit')"
        )
        return [
            (seq, kind)
            for seq, kind, payload, turn_id in rows
            if turn_id in turn_ids or any(mask in payload for mask in masks)
        ]

    def _remove(self, copies: Sequence[Path]) -> None:
        try:
            for copy in copies:
                copy.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"The damaged journal {error.filename} cannot be removed: {error.strerror}.",
                hint="Nothing was erased. Correct the permissions and try again.",
            ) from error

    def erasures(self, *, unconfirmed: bool = False) -> list[Erasure]:
        """Every erasure, oldest first; with ``unconfirmed`` those the server has not answered."""
        sql = (
            "SELECT number, requested_at, pseudonyms, receipt,"
            " COALESCE(confirmed, '') FROM erasures"
        )
        if unconfirmed:
            sql += " WHERE confirmed IS NULL"
        with self._lock, reading(self._path):
            rows = self._db.conn.execute(sql + " ORDER BY number").fetchall()
        return [
            Erasure(number, at, tuple(json.loads(masks)), receipt, confirmed)
            for number, at, masks, receipt, confirmed in rows
        ]

    def confirm(self, number: int, receipt: str) -> None:
        """Keep the server's receipt for an erasure.

        Raises:
            StorageError: it could not be kept; the server will be asked again.
        """
        with self._lock, transaction(self._db, self._path) as db:
            db.conn.execute("UPDATE erasures SET confirmed = ? WHERE number = ?", (receipt, number))
