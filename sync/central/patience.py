"""Connections that take for ever to ask anything are closed.

A server that waits without end for the head of a request can be kept busy by a handful of machines
that send one byte a minute (Slowloris, Hansen 2009): the connections it accepts are counted. The
body has its own limits; see :class:`sync.central.limits.BodyLimit`.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1; a request's head must arrive within ``head_timeout_s`` seconds of the
    connection, or of its own first byte where the connection served others before. As long may a
    body go on that was answered before it ended."""

    head_timeout_s = 20.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_owed_something():
            self._stop_waiting()
        elif self._head_timer is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_owed_something(self) -> bool:
        """Whether the sender is at a part of a request that no part of the server works on."""
        if self.conn.their_state is h11.SEND_BODY:
            return self.cycle.response_complete
        return self.conn.their_state is h11.IDLE

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
