"""A proxy on loopback that does to requests what bad links do.

One request a connection. Each is treated as the next word of ``faults`` says; when there are no
more, it is passed on as it is.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

FAULTS = (
    "drop", "drop answer", "duplicate", "reorder", "delay", "slow", "truncate request",
    "truncate answer", "corrupt request", "corrupt answer",
)  # fmt: skip
_PATIENCE_S = 10


@dataclass
class FaultProxy:
    port: int
    upstream: tuple[str, int]
    chance: random.Random
    faults: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    late: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handle(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(_PATIENCE_S)
            request = _read_message(client)
            if not request:
                return
            fault = self.faults.pop(0) if self.faults else "none"
            self.done.append(fault)
            answer = self._treated(fault, request)
            if fault == "slow":
                for at in range(0, len(answer), 40):
                    client.sendall(answer[at : at + 40])
                    time.sleep(0.002)
            else:
                client.sendall(answer)

    def _treated(self, fault: str, request: bytes) -> bytes:
        if fault == "reorder":  # arrives after the next one, when nobody waits for it any more
            self.late.append(request)
        if fault == "truncate request":
            with socket.create_connection(self.upstream, timeout=_PATIENCE_S) as server:
                server.sendall(request[: len(request) * 2 // 3])
        if fault in {"drop", "reorder", "truncate request"}:
            return b""
        if fault == "delay":
            time.sleep(0.03)
        if fault == "corrupt request":
            request = self._flipped(request)
        answer = self._passed(request)
        while self.late:
            self._passed(self.late.pop(0))
        if fault == "duplicate":
            answer = self._passed(request)
        if fault == "corrupt answer":
            return self._flipped(answer)
        kept = {"drop answer": 0.0, "truncate answer": 0.6}.get(fault, 1.0)
        return answer[: int(len(answer) * kept)]

    def _flipped(self, message: bytes) -> bytes:
        """One bit of the body turned over."""
        body = message.index(b"\r\n\r\n") + 4
        changed = bytearray(message)
        changed[self.chance.randrange(body, len(changed))] ^= 1 << self.chance.randrange(8)
        return bytes(changed)

    def _passed(self, request: bytes) -> bytes:
        with socket.create_connection(self.upstream, timeout=_PATIENCE_S) as server:
            server.sendall(request)
            return _read_message(server)


def _read_message(connection: socket.socket) -> bytes:
    """Headers and as much body as they announce, or what came before the other side stopped."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            return data
        data += piece
    head, _, _ = data.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    wanted = len(head) + 4 + (lengths[0] if lengths else 0)
    while len(data) < wanted:
        piece = connection.recv(65_536)
        if not piece:
            break
        data += piece
    return data


@contextmanager
def fault_proxy(upstream_url: str, chance: random.Random) -> Iterator[FaultProxy]:
    """A running proxy before the server at ``upstream_url``."""
    host, port = upstream_url.removeprefix("http://").split(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = FaultProxy(listener.getsockname()[1], (host, int(port)), chance)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    proxy.handle(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(_PATIENCE_S * 2)
