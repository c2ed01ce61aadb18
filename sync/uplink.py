"""Sends the outbox to the central server: most urgent first, nothing lost, nothing twice.

A record leaves the outbox only after the server has said, after its own commit, that it has that
very record. Whatever goes wrong before that, the record is simply sent again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

import httpx

from edge_runtime.journal import Journal, OutboxRecord
from sync.contact import ContactLog
from sync.errors import SyncError
from sync.exchange import Exchange, understood
from sync.pacing import Pace
from sync.protocol.base import ProtocolError
from sync.protocol.records import MAX_PAYLOAD_BYTES, MAX_RECORDS, Ack, Batch, Record
from sync.protocol.wire import CONTENT_TYPE, MAX_BATCH_BYTES, MAX_BODY_BYTES, encode_batch


@dataclass(frozen=True, slots=True)
class PushReport:
    """What one push did. ``contiguous`` is what the server last said it has without a gap.

    ``remaining`` could go now; ``held_back`` waits for its hours or for an unmetered link.
    """

    sent: int
    quarantined: int
    batches: int
    contiguous: int
    remaining: int
    held_back: int = 0


def backoff(attempt: int, random: Random, *, base_s: float = 2.0, cap_s: float = 300.0) -> float:
    """Seconds to wait after the ``attempt``-th failure in a row (from 1).

    Exponential with full jitter, so that a fleet cut off together does not come back together
    (Brooker, "Exponential Backoff And Jitter", 2015).
    """
    ceiling: float = min(cap_s, base_s * 2.0 ** min(attempt - 1, 30))
    return max(random.uniform(0, ceiling), base_s / 2)


class Uplink:
    """Pushes one journal's outbox through one client.

    Args:
        batch_bytes: payload bytes a batch may hold before compression.
        answer_s: seconds within which the server must have answered completely.
        pace: what may be sent when, and how fast.
        contact: where it is noted that the server answered.
        now: the current time with the device's own zone.
    """

    def __init__(
        self,
        journal: Journal,
        client: httpx.Client,
        *,
        batch_records: int = 200,
        batch_bytes: int = 1_000_000,
        answer_s: float = 60.0,
        pace: Pace | None = None,
        contact: ContactLog | None = None,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._journal = journal
        self._contact = contact
        self._pace = pace or Pace()
        self._now = now
        self._batch_records = min(batch_records, MAX_RECORDS)
        self._batch_bytes = self._pace.batch_bytes(min(batch_bytes, MAX_BATCH_BYTES // 2))
        self._limit = self._batch_records
        self.exchange = Exchange(
            client,
            answer_s=answer_s,
            bytes_per_s=self._pace.bytes_per_s,
            heard=(lambda: None) if contact is None else contact.heard,
        )

    def push(self, *, max_batches: int = 1_000) -> PushReport:
        """Send what may go now, until none of it is left or ``max_batches`` have gone.

        On a link that fails, batches are halved until they get through and then grow again.

        Raises:
            CredentialError: the server does not know this device.
            SyncError: the server cannot be reached or failed; what it has not acknowledged stays.
            StorageError: the journal cannot be written, or another process is sending.
        """
        with self._journal.sending():
            return self._push(max_batches)

    def _push(self, max_batches: int) -> PushReport:
        outbox = self._journal.outbox
        sent = quarantined = batches = contiguous = 0
        while batches < max_batches:
            kinds = self._pace.kinds(self._now())
            records, broken = self._readable(
                outbox.pending(
                    limit_bytes=self._batch_bytes, limit_records=self._limit, kinds=kinds
                )
            )
            for seq, reason in broken:
                outbox.quarantine(seq, reason)
            quarantined += len(broken)
            if not records:
                if broken:
                    continue
                break
            try:
                delivered, aside, contiguous, culprits = self._deliver(records)
            except SyncError:
                self._limit = max(len(records) // 2, 1)
                raise
            self._limit = min(self._limit * 2, self._batch_records)
            self._set_aside(culprits, nothing_else_went=delivered + aside == 0)
            aside += len(culprits)
            sent += delivered
            quarantined += aside
            batches += 1
        kinds = self._pace.kinds(self._now())
        pending = outbox.counts().pending
        waiting = sum(n for kind, n in pending.items() if kinds is None or kind in kinds)
        held_back = sum(pending.values()) - waiting
        return PushReport(sent, quarantined, batches, contiguous, waiting, held_back)

    @staticmethod
    def _readable(rows: list[OutboxRecord]) -> tuple[list[Record], list[tuple[int, str]]]:
        """Rows as records, and those that cannot be: torn content must not block the rest."""
        records: list[Record] = []
        broken: list[tuple[int, str]] = []
        for row in rows:
            try:
                if len(row.payload.encode()) > MAX_PAYLOAD_BYTES:
                    raise ValueError("too large")
                payload: dict[str, Any] = json.loads(row.payload)
                records.append(
                    Record(seq=row.seq, kind=row.kind, created_at=row.created_at, payload=payload)
                )
            except ValueError as error:
                broken.append((row.seq, f"unreadable on the device: {type(error).__name__}"))
        return records, broken

    def _deliver(self, records: list[Record]) -> tuple[int, int, int, list[tuple[Record, str]]]:
        """Send one batch; halve it while the server finds it malformed, down to the culprits.

        Returns how many were delivered, how many the server set aside, how far it is without a
        gap, and the culprits with the reason.
        """
        try:
            ack = self._sent_twice(records[0]) if len(records) == 1 else self.send(records)
        except ProtocolError as error:
            if len(records) == 1:
                return 0, 0, 0, [(records[0], error.message)]
            middle = len(records) // 2
            one, two = self._deliver(records[:middle]), self._deliver(records[middle:])
            return one[0] + two[0], one[1] + two[1], max(one[2], two[2]), one[3] + two[3]
        offered = {record.seq for record in records}
        refused = {item.seq: item.reason for item in ack.quarantined if item.seq in offered}
        accounted = offered & (set(ack.stored) | {s for s in offered if s <= ack.contiguous})
        for seq, reason in refused.items():
            self._journal.outbox.quarantine(seq, reason, known_to_server=True)
        delivered = self._journal.outbox.acknowledge(accounted - refused.keys())
        if delivered + len(refused) == 0:
            raise SyncError("The central server acknowledged nothing of what it was sent.")
        if self._contact is not None:
            self._contact.delivered()
        return delivered, len(refused), ack.contiguous, []

    def _sent_twice(self, record: Record) -> Ack:
        """A lone record is only found malformed if it is so twice: the link may have spoilt it."""
        try:
            return self.send([record])
        except ProtocolError:
            return self.send([record])

    def _set_aside(self, culprits: list[tuple[Record, str]], *, nothing_else_went: bool) -> None:
        """Quarantine what the server finds malformed, unless it finds everything so.

        Where nothing went through, an empty batch tells a poisoned record from a server (or a
        protocol) that is itself at fault: then nothing may be given up.
        """
        if not culprits:
            return
        fault = SyncError(
            f"The central server refuses what this device sends: {culprits[0][1]}.",
            hint="Nothing is lost: it will be tried again. Are both sides up to date?",
        )
        if any(record.kind == "dropped" for record, _ in culprits):
            raise fault
        if nothing_else_went:
            try:
                self.send([])
            except ProtocolError:
                raise fault from None
        for record, reason in culprits:
            self._journal.outbox.quarantine(record.seq, reason)

    def send(self, records: list[Record]) -> Ack:
        """Offer records to the server; what it says of them. Nothing here is changed by it.

        Raises:
            ProtocolError: the server refuses the batch as a whole.
            CredentialError: the server does not know this device.
            SyncError: the server cannot be reached or failed.
        """
        batch = Batch(
            protocol=1,
            device_id=self._journal.device_id,
            stream=self._journal.stream,
            sent_at=self._now().isoformat(timespec="milliseconds"),
            records=records,
        )
        body = encode_batch(batch)
        if len(body) > MAX_BODY_BYTES:
            raise ProtocolError("The batch is too large.")
        ack = understood(Ack, self.exchange.post("/v1/ingest", body, CONTENT_TYPE))
        if ack.stream != self._journal.stream:
            raise SyncError("The central server answered for another device's records.")
        return ack
