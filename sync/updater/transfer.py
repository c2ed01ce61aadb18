"""Files of a repository over HTTP: bounded in size and time, resumed, from whichever mirror works.

This only moves bytes; python-tuf decides whether they are the right ones. A target's bytes are
kept in a part file while they arrive, and a broken transfer goes on where it stopped (HTTP Range).
A part that proves wrong is thrown away whole: no mirror can leave a poisoned beginning behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, Any

import httpx
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    RepositoryError,
    SlowRetrievalError,
)

from edge_runtime.bundles.download import first_byte
from sync.errors import SyncError
from sync.updater.fetching import Fetcher

_WORTHWHILE_BYTES = 2**16
_FRUITLESS_ATTEMPTS = 3
_ABSENT = {403, 404}


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is too long: seconds until an answer begins, and the slowest rate after that.

    The rate in bytes per second is the average over ``window_s`` seconds.
    """

    answer_s: float = 30.0
    window_s: float = 60.0
    bytes_per_s: int = 512


@dataclass(frozen=True, slots=True)
class Mirror:
    """One place that serves the repository, with the client that may talk to it.

    Each mirror has a client of its own, so that a credential for one never reaches another.
    """

    metadata_url: str
    targets_url: str
    client: httpx.Client


class MirrorFetcher(Fetcher):
    """Fetches for python-tuf's ``Updater``, whose base addresses are those of the first mirror.

    Args:
        mirrors: at least one; tried in order, see :meth:`prefer_next`.
        incoming: folder of the part files.
        pace: when a transfer is given up as too slow.
        limit: bytes per second that the link may be taken up by; 0 for as many as come.
        may_go: whether the link may be used (still); a transfer that may not is left for later.
        clock: seconds, for pace and limit.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        mirrors: Sequence[Mirror],
        incoming: Path,
        *,
        pace: Pace | None = None,
        limit: int = 0,
        may_go: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._named = mirrors[0]
        self._mirrors = list(mirrors)
        self._incoming = incoming
        self._pace = pace or Pace()
        self._limit = limit
        self._may_go = may_go
        self._clock = clock
        self._sleep = sleep
        self.mirrors = len(mirrors)

    @property
    def urls(self) -> tuple[str, str]:
        """The base addresses of metadata and targets, as python-tuf is to name them."""
        return self._named.metadata_url, self._named.targets_url

    def prefer_next(self) -> None:
        self._mirrors.append(self._mirrors.pop(0))

    @contextlib.contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """Like python-tuf's, but from every mirror; a target is resumed from its part file."""
        if not url.startswith(self._named.targets_url):
            yield io.BytesIO(self._metadata(url, max_length))
            return
        self._incoming.mkdir(parents=True, exist_ok=True)
        part = self.part(url)
        with part.open("a+b") as file:
            self._complete(url, file, max_length)
            file.seek(0)
            try:
                yield file
            except RepositoryError:
                part.unlink(missing_ok=True)
                raise
        part.unlink(missing_ok=True)

    def _metadata(self, url: str, max_length: int) -> bytes:
        error: DownloadError | None = None
        for _, address in self._addresses(url):
            try:
                with super().download_file(address, max_length) as file:
                    return bytes(file.read())
            except (httpx.HTTPError, DownloadError) as problem:
                error = _clearer(error, problem, address)
        raise error or DownloadError(f"No mirror for {url}")

    def _fetch(self, url: str) -> Iterator[bytes]:
        mirror = next(m for m in self._mirrors if url.startswith(m.metadata_url))
        with self._answer(mirror, url, 0) as response:
            yield from self._blocks(response)

    def part(self, url: str) -> Path:
        """Where the bytes of a target wait while they arrive."""
        return self._incoming / f"{hashlib.sha256(url.encode()).hexdigest()}.part"

    def _complete(self, url: str, file: IO[bytes], length: int) -> None:
        error: DownloadError | None = None
        for mirror, address in self._addresses(url):
            fruitless = 0
            while _size(file) != length and fruitless < _FRUITLESS_ATTEMPTS:
                before = _size(file)
                try:
                    self._append(mirror, address, file, length)
                except (httpx.HTTPError, DownloadError) as problem:
                    error = _clearer(error, problem, address)
                    if isinstance(problem, DownloadHTTPError | DownloadLengthMismatchError):
                        break
                # A bad line that still brings something is worth going on with.
                brought = _size(file) >= before + _WORTHWHILE_BYTES
                fruitless = 0 if brought else fruitless + 1
            if _size(file) == length:
                file.flush()
                os.fsync(file.fileno())
                return
        raise error or DownloadLengthMismatchError(f"{url} is shorter than its {length} bytes")

    def _append(self, mirror: Mirror, address: str, file: IO[bytes], length: int) -> None:
        have = _size(file)
        if have > length:
            file.truncate(have := 0)
        with self._answer(mirror, address, have) as response:
            start = first_byte(response)
            if start not in {0, have}:
                raise DownloadError(f"{address} answered with another range than asked for")
            file.truncate(start)
            room = length - start
            for block in self._blocks(response):
                room -= len(block)
                if room < 0:
                    file.truncate(0)
                    raise DownloadLengthMismatchError(f"{address} is longer than {length} bytes")
                file.write(block)

    @contextlib.contextmanager
    def _answer(self, mirror: Mirror, address: str, start: int) -> Iterator[httpx.Response]:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        deadline = _AnswerDeadline(self._pace.answer_s)
        extensions = {"trace": deadline.watch}
        request = mirror.client.build_request(
            "GET", address, headers=headers, extensions=extensions
        )
        with deadline:
            answer = mirror.client.send(request, stream=True)
        with contextlib.closing(answer):
            if answer.status_code not in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
                raise DownloadHTTPError(
                    f"{address} answered {answer.status_code}", answer.status_code
                )
            yield answer

    def _blocks(self, response: httpx.Response) -> Iterator[bytes]:
        """The body's bytes as sent, given up when fewer arrive than the pace asks for.

        Above the limit they are left waiting, so that the sender slows down; that time is ours.
        """
        since, arrived = self._clock(), 0
        for block in response.iter_raw():
            arrived += len(block)
            self.received += len(block)
            yield block
            if not self._may_go():
                raise SyncError(
                    "The hours in which updates may come are over.",
                    hint="It goes on where it stopped once they may.",
                )
            if self._limit:
                self._sleep(len(block) / self._limit)
                since += len(block) / self._limit
            now = self._clock()
            if now - since >= self._pace.window_s:
                if arrived < self._pace.bytes_per_s * (now - since):
                    raise SlowRetrievalError(
                        f"{response.url} sent {arrived} bytes in {now - since:.0f} s"
                    )
                since, arrived = now, 0

    def _addresses(self, url: str) -> list[tuple[Mirror, str]]:
        if url.startswith(self._named.targets_url):
            rest = url.removeprefix(self._named.targets_url)
            return [(mirror, mirror.targets_url + rest) for mirror in self._mirrors]
        rest = url.removeprefix(self._named.metadata_url)
        return [(mirror, mirror.metadata_url + rest) for mirror in self._mirrors]


class _AnswerDeadline:
    """Hangs up when no answer has begun in time, also on a server that dribbles its headers.

    A read timeout alone starts anew with every byte, so it bounds nothing.
    """

    def __init__(self, seconds: float) -> None:
        self._timer = Timer(seconds, self._hang_up)
        self._timer.daemon = True
        self._socket: socket.socket | None = None
        self._passed = False

    def watch(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's ``trace`` extension; keeps the connection that is being waited for."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._socket = info["return_value"].get_extra_info("socket")

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._timer.cancel()
        if self._passed and isinstance(error, httpx.HTTPError):
            raise SlowRetrievalError("No answer began in time") from error

    def _hang_up(self) -> None:
        self._passed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _clearer(known: DownloadError | None, new: Exception, address: str) -> DownloadError:
    """The error worth reporting; a mirror's "not here" counts for more than a dead mirror."""
    if not isinstance(new, DownloadError):
        reason = (str(new) or type(new).__name__).rstrip(".")
        new = DownloadError(f"{address} cannot be fetched: {reason}")
    absent = isinstance(known, DownloadHTTPError) and known.status_code in _ABSENT
    return known if known is not None and absent else new


def _size(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)
