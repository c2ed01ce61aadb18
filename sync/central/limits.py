"""What a request may cost: bytes and seconds of its body, requests a minute of its sender.

Rates are counted by each replica on its own, in memory: behind a balancer a fleet of N replicas
lets through up to N times the rate, and no request waits for a shared counter. What must hold
exactly (a code works once, a record counts once) is kept by the database instead.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.protocol.wire import MAX_BODY_BYTES

SMALL_BODY_BYTES = 64 * 1024
_MAX_KEYS = 50_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a minute, each with a burst as large.

    ``attempts`` are enrolments and refused credentials per client address, ``device`` and
    ``operator`` are per identity.
    """

    attempts: int = 60
    device: int = 1_200
    operator: int = 1_200


DEFAULT_RATES = Rates()


class RateLimiter:
    """A token bucket per key (Turner 1986, "New directions in communications").

    The ``_MAX_KEYS`` keys seen last are remembered, so that many senders cost no more memory.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst = per_minute / 60, float(per_minute)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, key: str, *, cost: float = 1.0) -> float:
        """Take ``cost`` from the key's bucket: 0, or the seconds until there is enough in it."""
        with self._lock:
            now = self._clock()
            level, at = self._buckets.pop(key, (self._burst, now))
            level = min(self._burst, level + (now - at) * self._rate)
            allowed = level >= cost
            self._buckets[key] = (level - cost if allowed else level, now)
            if len(self._buckets) > _MAX_KEYS:
                self._buckets.popitem(last=False)
            return 0.0 if allowed else (cost - level) / self._rate

    def require(self, key: str, *, cost: float = 1.0) -> None:
        """Take ``cost`` from the key's bucket. A cost of 0 only asks whether it is empty.

        Raises:
            HTTPException: 429, there is not enough; says after how many seconds to come back.
        """
        wait = self.wait_s(key, cost=cost)
        if wait > 0:
            raise HTTPException(
                429, "Too many requests.", headers={"Retry-After": str(int(wait) + 1)}
            )


class BodyLimit:
    """Stops reading a request's body at its endpoint's size and time.

    Args:
        timeout_s: within which a body must have arrived.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app, self._timeout_s = app, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_BODY_BYTES if scope.get("path") == "/v1/ingest" else SMALL_BODY_BYTES
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        received, whole = 0, False

        async def limited() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The body arrived too slowly.") from None
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"The body is larger than {limit} bytes.")
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, limited, send)
