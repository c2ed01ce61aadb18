"""One bounded request to the central server, and what its answer means."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from sync.errors import CredentialError, SyncError
from sync.protocol.base import ProtocolError, is_own_refusal

_MAX_ANSWER_BYTES = 1_000_000
_REFUSED = frozenset({400, 413, 422})
_PIECES_A_SECOND = 4
Wanted = TypeVar("Wanted", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: httpx.Headers
    body: bytes


class Exchange:
    """Posts to one server; a server that trickles or never ends is cut off.

    Args:
        answer_s: seconds within which the server must have answered completely.
        bytes_per_s: how fast a body may leave; 0 for as fast as it can.
        heard: told of every answer that is as it should be.
    """

    def __init__(
        self,
        client: httpx.Client,
        *,
        answer_s: float = 60.0,
        bytes_per_s: int = 0,
        heard: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._answer_s = answer_s
        self._bytes_per_s = bytes_per_s
        self._heard = heard
        self._clock = clock
        self._sleep = sleep

    def ask(self, path: str, request: BaseModel, answer: type[Wanted]) -> Wanted:
        """What the server answers to a request in JSON.

        Raises:
            ProtocolError, CredentialError, SyncError: as :meth:`post`; also an answer of another
                kind.
        """
        body = request.model_dump_json().encode()
        return understood(answer, self.post(path, body, "application/json"))

    def post(self, path: str, body: bytes, content_type: str) -> bytes:
        """The body of the server's answer.

        Raises:
            ProtocolError: the server itself refuses what it was sent.
            CredentialError: the server does not know this device.
            SyncError: it cannot be reached, failed, or answers too slowly or too much.
        """
        answer = self._exchange(path, body, content_type)
        if answer.status == 200:
            self._heard()
            return answer.body
        if answer.status in {401, 403}:
            raise CredentialError(
                "The central server does not accept this device's credential.",
                hint="Enrol it again: edge-sync enroll URL --code CODE",
            )
        if answer.status in _REFUSED and is_own_refusal(answer.body):
            raise ProtocolError(f"refused by the server: HTTP {answer.status}")
        raise SyncError(
            f"The central server failed: HTTP {answer.status}.",
            retry_after_s=_retry_after(answer.headers.get("retry-after", "")),
        )

    def _exchange(self, path: str, body: bytes, content_type: str) -> Answer:
        headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
        content = self._paced(body) if self._bytes_per_s else body
        try:
            with self._client.stream("POST", path, content=content, headers=headers) as response:
                deadline = self._clock() + self._answer_s
                answer = bytearray()
                for piece in response.iter_bytes():
                    answer += piece
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise SyncError("The central server's answer is too large.")
                    if self._clock() > deadline:
                        raise SyncError("The central server answers too slowly.")
                return Answer(response.status_code, response.headers, bytes(answer))
        except httpx.HTTPError as error:
            detail = str(error) or type(error).__name__
            raise SyncError(
                f"The central server cannot be reached: {detail}.",
                hint="Nothing is lost: it will be tried again.",
            ) from error

    def _paced(self, body: bytes) -> Iterator[bytes]:
        """Pieces, each held back until the ones before it have had their time on the link."""
        size = max(self._bytes_per_s // _PIECES_A_SECOND, 256)
        start = self._clock()
        for at in range(0, len(body), size):
            ahead = at / self._bytes_per_s - (self._clock() - start)
            if ahead > 0:
                self._sleep(ahead)
            yield body[at : at + size]


def understood(model: type[Wanted], body: bytes) -> Wanted:
    """The answer as what it must be.

    Raises:
        SyncError: it is something else.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise SyncError("The central server's answer makes no sense.") from error


def _retry_after(value: str) -> float | None:
    return min(float(value), 3600.0) if value.isdigit() and len(value) < 7 else None
