"""When this device last heard from its server, and when that last took records from it.

Kept in ``contact.json`` in the data folder, for commands that are other processes than the one that
sends. It serves figures only: where it cannot be written or read, nothing else stops.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Literal

from pydantic import Field

from edge_runtime.bundles.documents import LATEST, Strict, canonical_json, read_document
from edge_runtime.errors import ModelCorruptError
from edge_runtime.files import write_atomic

FILE = "contact.json"
_EVERY_S = 30.0
_MOST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Contact:
    """Seconds since 1970 by the device's clock; 0 for never.

    ``heard`` is when the server last answered as it should, ``delivered`` when it last acknowledged
    records.
    """

    heard: int = 0
    delivered: int = 0


class _Contact(Strict):
    schema_: Literal[1] = Field(alias="schema")
    heard: int = Field(ge=0, le=LATEST)
    delivered: int = Field(ge=0, le=LATEST)


class ContactLog:
    """Notes contacts, each kind at most twice a minute, so that they wear no flash out.

    Thread-safe: uploads and updates share one.

    Args:
        folder: the device's data folder.
        now: seconds since 1970.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE
        self._now = now
        self._noted: dict[str, float] = {}
        self._lock = Lock()

    def heard(self) -> None:
        """The server answered as it should."""
        self._note("heard")

    def delivered(self) -> None:
        """The server acknowledged records."""
        self._note("delivered")

    def _note(self, kind: str) -> None:
        with self._lock:
            now = self._now()
            # A clock that was set back is no reason to stay silent.
            if 0 <= now - self._noted.get(kind, -_EVERY_S) < _EVERY_S:
                return
            self._noted[kind] = now
            contact = replace(
                read_contact(self._path.parent), **{kind: min(max(int(now), 0), LATEST)}
            )
            # A full disk must not stop the upload that makes room on it.
            with contextlib.suppress(OSError):
                write_atomic(self._path, canonical_json({"schema": 1, **asdict(contact)}))


def read_contact(folder: Path) -> Contact:
    """What was noted last in a data folder; never, where nothing readable is."""
    try:
        with (folder / FILE).open("rb") as file:
            document = read_document(_Contact, file.read(_MOST_BYTES), "record of contacts")
    except (OSError, ModelCorruptError):
        return Contact()
    return Contact(document.heard, document.delivered)
