"""Does the server have what this device no longer keeps? Finds out, and makes it so again.

A server that was restored from a backup has lost what arrived after it. Its answers say how far it
is without a gap; everything below the device's lowest waiting record it once had. What it lacks is
made again from the turns, and where a turn is gone a notice closes the gap.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from edge_runtime.journal import Journal
from sync.errors import SyncError
from sync.protocol.records import Record
from sync.uplink import Uplink

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Verification:
    """``problems`` are sentences about this device's own files. ``server_has`` counts records the
    server has without a gap, ``server_lost`` those it once had and lacks now; both are ``None``
    where the server was not asked."""

    problems: tuple[str, ...]
    waiting: int
    server_has: int | None
    server_lost: int | None
    unconfirmed_erasures: int

    @property
    def sound(self) -> bool:
        return not self.problems and not self.server_lost


@dataclass(frozen=True, slots=True)
class Repaired:
    """``recounted``: the outbox's totals were wrong. ``remade`` records were sent again, ``lost``
    ones replaced by a notice."""

    recounted: bool
    remade: int
    lost: int


def verify(journal: Journal, uplink: Uplink | None) -> Verification:
    """Check this device's journal, and the server's records against it.

    Raises:
        CredentialError, SyncError: the server could not be asked.
        StorageError: the journal cannot be read.
    """
    problems = list(journal.problems())
    for erasure in journal.persons.erasures():
        if erasure.confirmed and not _is_intact(erasure.confirmed):
            problems.append(f"The server's receipt of erasure {erasure.number} was altered.")
    has = None if uplink is None else uplink.send([]).contiguous
    return Verification(
        problems=tuple(problems),
        waiting=sum(journal.outbox.counts().pending.values()),
        server_has=has,
        server_lost=None if has is None else max(journal.outbox.lowest() - 1 - has, 0),
        unconfirmed_erasures=len(journal.persons.erasures(unconfirmed=True)),
    )


def repair(journal: Journal, uplink: Uplink | None) -> Repaired:
    """Recount the outbox and send again what the server lost. Running it twice is harmless.

    Raises:
        CredentialError, SyncError: the server could not be reached; run it again.
        StorageError: the journal cannot be read or written.
    """
    recounted = journal.outbox.recount()
    remade = lost = 0
    if uplink is not None:
        with journal.sending():
            has = uplink.send([]).contiguous
            while has < (end := journal.outbox.lowest() - 1):
                records = [
                    _again(journal, seq) for seq in range(has + 1, min(has + _AT_ONCE, end) + 1)
                ]
                now_has = uplink.send(records).contiguous
                if now_has <= has:
                    raise SyncError("The central server does not take what it lacks.")
                sent = [record for record in records if record.seq <= now_has]
                lost += sum(record.kind == "dropped" for record in sent)
                remade += sum(record.kind != "dropped" for record in sent)
                has = now_has
    return Repaired(recounted, remade, lost)


def _again(journal: Journal, seq: int) -> Record:
    found = journal.remade(seq)
    if found is None:
        notice = {"kind": "unknown", "reason": "lost"}
        return Record(seq=seq, kind="dropped", created_at="", payload=notice)
    kind, payload = found
    return Record(seq=seq, kind=kind, created_at="", payload=json.loads(payload))


def _is_intact(confirmed: str) -> bool:
    try:
        kept = json.loads(confirmed)
        return bool(hashlib.sha256(kept["receipt"].encode()).hexdigest() == kept["digest"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
