"""What the server does beside answering: counts days, watches figures and rollouts, sends alerts.

Every replica runs it. Each piece of work is claimed by a lock in the database, so that it is done
once however many replicas there are, and a replica that dies leaves nothing half done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

import httpx

from edge_runtime.errors import StorageError
from sync.central import rollouts
from sync.central.alerts import Webhook, deliver, watch_completion
from sync.central.database import Database
from sync.central.rollup import count_due

_DAYS_A_ROUND = 2_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did."""

    days: int
    delivered: int


class Worker:
    """Works in rounds.

    Args:
        webhook: where alerts go; without one they are only kept.
        client: for the webhook.
    """

    def __init__(
        self,
        database: Database,
        *,
        webhook: Webhook | None = None,
        client: httpx.Client | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._webhook = webhook
        self._client = client or httpx.Client()
        self._clock = clock

    def run(
        self, stop: Event, *, every_s: float = 10.0, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Rounds until stopped. A round that fails is told and followed by the next.

        Args:
            alive: called before the first round and after each.
        """
        while not stop.wait(1.0):
            alive()
            try:
                self.round()
            except StorageError as error:
                _log.warning("%s", error)
            if stop.wait(every_s):
                return

    def round(self) -> Round:
        """One round.

        Raises:
            StorageError: the database failed.
        """
        now = self._clock()
        days = count_due(self._database, now, limit=_DAYS_A_ROUND)
        with self._database.write() as session:
            watch_completion(session, now)
            rollouts.advance(session, now)
        delivered = 0
        if self._webhook is not None:
            delivered = deliver(self._database, self._webhook, self._client, now)
        return Round(days, delivered)
