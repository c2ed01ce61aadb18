"""A central server of its own process, and devices that are enrolled there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from socket import socket

import httpx
from sqlalchemy import insert

from sync.central.auth import hashed
from sync.central.database import Database
from sync.central.tables import Device
from sync.central.values import utc

SECRET = "s" * 43
"""Every device's."""


@dataclass(frozen=True, slots=True)
class Server:
    """``pid`` is the serving process."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Processor seconds it has used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(url: str) -> Iterator[Server]:
    """``edge-central serve`` with its defaults on the database at ``url``."""
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "EDGE_CENTRAL_DATABASE_URL": url,
            "EDGE_CENTRAL_DATA_DIR": folder,
            "EDGE_CENTRAL_PORT": str(port),
            "EDGE_CENTRAL_DEVICE_PER_MINUTE": "1000000",
        }
        command = [sys.executable, "-c", "from sync.central.cli import main; main()", "serve"]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        server = Server(f"http://127.0.0.1:{port}", process.pid)
        try:
            _wait(server, process)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError("edge-central serve ended at once")
        try:
            httpx.get(f"{server.url}/health")
            return
        except httpx.ConnectError:
            time.sleep(0.05)
    raise RuntimeError("edge-central serve did not start")


def enrol(database: Database, prefix: str, count: int) -> list[str]:
    """Add devices; their ids."""
    ids = [f"{prefix}-{number}" for number in range(count)]
    now = utc(datetime.now(UTC))
    rows = [
        {"device_id": name, "shop": f"shop {number % 500}", "credential_hash": hashed(SECRET),
         "enrolled_at": now, "last_seen_at": "", "clock_skew_s": 0, "runtime_version": "",
         "pack": "", "next_credential_hash": "", "ring": "", "running_name": "",
         "running_version": "", "running_sha256": "", "proved_at": ""}
        for number, name in enumerate(ids)
    ]  # fmt: skip
    with database.write() as session:
        session.execute(insert(Device), rows)
    return ids
