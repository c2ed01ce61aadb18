"""Plain addresses over HTTP, resumed where the last attempt stopped."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx

from edge_runtime.bundles.catalogue import Archive
from edge_runtime.bundles.progress import ProgressSink
from edge_runtime.errors import FetchError, ModelCorruptError

_FRUITLESS_ATTEMPTS = 4
_WORTHWHILE_BYTES = 2**16
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_RESUME_HINT = "Try again: it continues where it stopped."


def download(archive: Archive, folder: Path, progress: ProgressSink) -> Path:
    """Fetch an address into ``folder``, continuing a partial file; its content is not yet checked.

    Raises:
        FetchError: no connection, an error status, or a transfer that keeps breaking off.
        ModelCorruptError: the server sends more than the archive may hold.
    """
    part = folder / f"{archive.sha256}-{archive.file}.part"
    progress.advance(_size(part))
    reason, fruitless = "", 0
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True, max_redirects=5) as client:
        while fruitless < _FRUITLESS_ATTEMPTS:
            before = _size(part)
            try:
                if _attempt(client, archive, part, progress):
                    return part
                reason = "the transfer broke off"
            except httpx.ConnectError as error:
                raise FetchError(
                    f"No network: {archive.spec} cannot be reached.",
                    hint="Connect this device, or pull from a folder or USB stick with --from.",
                ) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                reason = (str(error) or type(error).__name__).rstrip(".")
            # A bad line that still brings something is worth going on with.
            fruitless = 0 if _size(part) >= before + _WORTHWHILE_BYTES else fruitless + 1
    raise FetchError(f"{archive.spec} could not be fetched: {reason}.", hint=_RESUME_HINT)


def _attempt(client: httpx.Client, archive: Archive, part: Path, progress: ProgressSink) -> bool:
    """One request; returns whether the file is now whole."""
    have = _size(part)
    if archive.size and have == archive.size:
        return True
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with client.stream("GET", archive.spec, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            # What we hold is longer than what they have now: only a fresh start can be right.
            part.unlink()
            return False
        if response.status_code not in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
            raise FetchError(
                f"{archive.spec} answered {response.status_code} {response.reason_phrase}."
            )
        start = first_byte(response)
        if start not in {0, have}:
            raise FetchError(f"{archive.spec} answered with another range than asked for.")
        total = start + int(response.headers.get("Content-Length", archive.max_size - start))
        with part.open("r+b" if start else "wb") as stream:
            stream.truncate(start)
            stream.seek(start)
            written = start
            for block in response.iter_raw():
                written += len(block)
                if written > archive.max_size:
                    stream.truncate(0)
                    raise ModelCorruptError(
                        f"{archive.file} is wrong: longer than its {archive.max_size} bytes."
                    )
                stream.write(block)
                progress.advance(len(block))
            stream.flush()
            os.fsync(stream.fileno())
    return written == archive.size if archive.size else written == total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def first_byte(response: httpx.Response) -> int:
    """First byte that the answer carries: 0 unless the server honoured the range, -1 if unclear."""
    if response.status_code == httpx.codes.OK:
        return 0
    found = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
    return int(found.group(1)) if found else -1
