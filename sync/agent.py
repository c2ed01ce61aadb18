"""The device's sync loop: push what waits, every so often, until told to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from threading import Event

from edge_runtime.errors import EdgeRuntimeError, StorageError
from edge_runtime.journal import Journal, Retention
from sync.errors import CredentialError, SyncError
from sync.persons import send_erasures
from sync.protocol.base import ProtocolError
from sync.uplink import PushReport, Uplink, backoff

_CREDENTIAL_WAIT_S = 900.0
_ALIVE_S = 60.0


@dataclass(frozen=True, slots=True)
class Cycle:
    """One round: what was pushed, or why not, and how long until the next."""

    report: PushReport | None
    error: EdgeRuntimeError | None
    wait_s: float


class Agent:
    """Pushes every ``every_s`` seconds while it works, ever more rarely while it does not.

    Args:
        stop: set it to end :meth:`run`; a wait ends at once, a push after its current batch.
        on_cycle: told after each round.
        alive: called before each batch and at least once a minute while it waits.
    """

    def __init__(
        self,
        journal: Journal,
        uplink: Uplink,
        *,
        every_s: float = 60.0,
        stop: Event | None = None,
        random: Random | None = None,
        retention: Retention | None = None,
        on_cycle: Callable[[Cycle], None] | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._uplink = uplink
        self._every_s = every_s
        self.stop = stop or Event()
        self._random = random or Random()
        self._retention = retention or Retention()
        self._on_cycle = on_cycle
        self._alive = alive
        self._failures = 0

    def run(self) -> None:
        """Rounds until stopped. A round's failure never ends the loop."""
        while not self.stop.is_set():
            cycle = self.cycle()
            if self._on_cycle is not None:
                self._on_cycle(cycle)
            self._wait(cycle.wait_s)

    def _wait(self, seconds: float) -> None:
        while seconds > 0 and not self.stop.wait(min(seconds, _ALIVE_S)):
            seconds -= _ALIVE_S
            self._alive()

    def cycle(self) -> Cycle:
        """One round: bound the journal's size, push, have erased persons erased centrally."""
        report = None
        self._alive()
        try:
            self._journal.prune(self._retention)
            report = self._push()
            send_erasures(self._journal, self._uplink.exchange)
        except (SyncError, ProtocolError, StorageError) as error:
            self._failures += 1
            return Cycle(None, error, self._wait_after(error))
        self._failures = 0
        return Cycle(report, None, self._every_s)

    def _push(self) -> PushReport:
        """Batch by batch, so that a stop is heeded between two of them."""
        report = self._uplink.push(max_batches=1)
        sent, aside, batches = report.sent, report.quarantined, report.batches
        while report.remaining and report.batches and not self.stop.is_set():
            self._alive()
            report = self._uplink.push(max_batches=1)
            sent += report.sent
            aside += report.quarantined
            batches += report.batches
        return replace(report, sent=sent, quarantined=aside, batches=batches)

    def _wait_after(self, error: EdgeRuntimeError) -> float:
        if isinstance(error, CredentialError):
            return _CREDENTIAL_WAIT_S
        asked = error.retry_after_s if isinstance(error, SyncError) else None
        return max(backoff(self._failures, self._random), asked or 0.0)
