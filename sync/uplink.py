"""Sends the outbox to the central server: most urgent first, nothing lost, nothing twice.

A record leaves the outbox only after the server has said, after its own commit, that it has that
very record. Whatever goes wrong before that, the record is simply sent again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import httpx
from pydantic import ValidationError

from edge_runtime.journal import Journal, OutboxRecord
from sync.errors import CredentialError, SyncError
from sync.protocol import (
    CONTENT_TYPE,
    MAX_BATCH_BYTES,
    MAX_BODY_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_RECORDS,
    Ack,
    Batch,
    ProtocolError,
    Record,
    encode_batch,
    is_own_refusal,
)

_MAX_ANSWER_BYTES = 1_000_000
_REFUSED = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class PushReport:
    """What one push did. ``contiguous`` is what the server last said it has without a gap."""

    sent: int
    quarantined: int
    batches: int
    contiguous: int
    remaining: int


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
    """

    def __init__(
        self,
        journal: Journal,
        client: httpx.Client,
        *,
        batch_records: int = 200,
        batch_bytes: int = 1_000_000,
        answer_s: float = 60.0,
    ) -> None:
        self._journal = journal
        self._client = client
        self._batch_records = min(batch_records, MAX_RECORDS)
        self._batch_bytes = min(batch_bytes, MAX_BATCH_BYTES // 2)
        self._answer_s = answer_s

    def push(self, *, max_batches: int = 1_000) -> PushReport:
        """Send until the outbox is empty or ``max_batches`` have gone.

        Raises:
            CredentialError: the server does not know this device.
            SyncError: the server cannot be reached or failed; what it has not acknowledged stays.
            StorageError: the journal cannot be written.
        """
        outbox = self._journal.outbox
        sent = quarantined = batches = contiguous = 0
        while batches < max_batches:
            records, broken = self._readable(
                outbox.pending(limit_bytes=self._batch_bytes, limit_records=self._batch_records)
            )
            for seq, reason in broken:
                outbox.quarantine(seq, reason)
            quarantined += len(broken)
            if not records:
                if broken:
                    continue
                break
            delivered, aside, contiguous, culprits = self._deliver(records)
            self._set_aside(culprits, nothing_else_went=delivered + aside == 0)
            aside += len(culprits)
            sent += delivered
            quarantined += aside
            batches += 1
        waiting = sum(outbox.counts().pending.values())
        return PushReport(sent, quarantined, batches, contiguous, waiting)

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
            ack = self._send(records)
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
        return delivered, len(refused), ack.contiguous, []

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
                self._send([])
            except ProtocolError:
                raise fault from None
        for record, reason in culprits:
            self._journal.outbox.quarantine(record.seq, reason)

    def _send(self, records: list[Record]) -> Ack:
        batch = Batch(
            protocol=1,
            device_id=self._journal.device_id,
            stream=self._journal.stream,
            sent_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            records=records,
        )
        body = encode_batch(batch)
        if len(body) > MAX_BODY_BYTES:
            raise ProtocolError("The batch is too large.")
        status, headers, answer = self._post(body)
        if status == 200:
            try:
                ack = Ack.model_validate_json(answer)
            except ValidationError as error:
                raise SyncError("The central server's answer makes no sense.") from error
            if ack.stream != self._journal.stream:
                raise SyncError("The central server answered for another device's records.")
            return ack
        if status in {401, 403}:
            raise CredentialError(
                "The central server does not accept this device's credential.",
                hint="Enrol it again: edge-sync enroll URL --code CODE",
            )
        if status in _REFUSED and is_own_refusal(answer):
            raise ProtocolError(f"refused by the server: HTTP {status}")
        raise SyncError(
            f"The central server failed: HTTP {status}.",
            retry_after_s=_retry_after(headers.get("retry-after", "")),
        )

    def _post(self, body: bytes) -> tuple[int, httpx.Headers, bytes]:
        """One request within its size and time; a server that trickles is cut off."""
        deadline = time.monotonic() + self._answer_s
        try:
            with self._client.stream(
                "POST", "/v1/ingest", content=body, headers={"Content-Type": CONTENT_TYPE}
            ) as response:
                answer = bytearray()
                for piece in response.iter_bytes():
                    answer += piece
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise SyncError("The central server's answer is too large.")
                    if time.monotonic() > deadline:
                        raise SyncError("The central server answers too slowly.")
                return response.status_code, response.headers, bytes(answer)
        except httpx.HTTPError as error:
            detail = str(error) or type(error).__name__
            raise SyncError(
                f"The central server cannot be reached: {detail}.",
                hint="Nothing is lost: it will be tried again.",
            ) from error


def _retry_after(value: str) -> float | None:
    return min(float(value), 3600.0) if value.isdigit() and len(value) < 7 else None
