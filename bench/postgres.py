"""A PostgreSQL server of one's own for a while: small, without durability, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

_START_S = 60.0


def available() -> bool:
    """Whether the server's programs are on PATH."""
    return all(shutil.which(name) for name in ("initdb", "postgres"))


@contextmanager
def private_postgres(*, durable: bool = False, buffers: str = "8MB") -> Iterator[str]:
    """The address (``postgresql+psycopg://…/postgres``) of a server that ends with the block.

    It listens on a socket in its own folder only. PostgreSQL refuses to run as root, so root
    starts it as ``postgres`` or ``nobody``.

    Args:
        durable: whether a commit waits for the disk; measurements need it, tests do not.

    Raises:
        RuntimeError: it cannot be started; says what it printed last.
    """
    folder = Path(tempfile.mkdtemp(prefix="edgepg-"))
    try:
        owner = _owner(folder)
        data = folder / "data"
        made = subprocess.run(
            ["initdb", "-D", str(data), "-U", "edge", "-A", "trust", "-E", "UTF8", "--no-locale",
             "--no-sync"],
            capture_output=True, text=True, cwd=folder, check=False, **owner,
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.strip()[-500:]}")
        on = "on" if durable else "off"
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                ["postgres", "-D", str(data), "-k", str(folder), "-c", "listen_addresses=",
                 "-c", f"fsync={on}", "-c", f"synchronous_commit={on}",
                 "-c", f"full_page_writes={on}", "-c", f"shared_buffers={buffers}",
                 "-c", "max_connections=60", "-c", "max_wal_size=256MB"],
                stdout=log, stderr=log, cwd=folder, **owner,
            )  # fmt: skip
        try:
            address = f"postgresql://edge@/postgres?host={folder}"
            _wait(address, server, folder / "log")
            yield address.replace("postgresql:", "postgresql+psycopg:")
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner(folder: Path) -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("There is no unprivileged user to run PostgreSQL as.")


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            psycopg.connect(address, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-500:]}")
