"""Large things kept beside the database: in a folder, or in S3 for several replicas.

Through obstore: a path is a folder, ``s3://bucket/prefix`` is S3, whose endpoint, region and keys
come from the usual ``AWS_*`` variables.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store

from edge_runtime.errors import ConfigError, StorageError
from edge_runtime.files import sync_folder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}(/[A-Za-z0-9][A-Za-z0-9._+-]{0,199}){0,7}")
_PIECE = 2**20
_PATIENCE: dict[str, Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=90)}


@dataclass(frozen=True, slots=True)
class Found:
    """An object that can be read: its bytes in all, and its entity tag."""

    name: str
    size: int
    etag: str


class Objects:
    """Objects below one place.

    Args:
        place: a folder, or an address such as ``s3://bucket/prefix``.

    Raises:
        ConfigError: the address is of no known kind.
        StorageError: the folder cannot be made.
    """

    def __init__(self, place: str, **options: Any) -> None:
        self.place = place
        self._folder: Path | None = None
        try:
            if place.startswith("s3://"):
                self._store: ObjectStore = S3Store.from_url(place, **(_s3_options() | options))
            elif "://" in place:
                raise ValueError("it is neither a folder nor s3://")
            else:
                self._folder = Path(place)
                self._store = LocalStore(place, mkdir=True, automatic_cleanup=True)
        except (BaseError, ValueError, TypeError) as error:
            raise ConfigError(
                f"Objects cannot be kept at {place}: {_short(error)}.",
                hint="Correct EDGE_CENTRAL_OBJECTS: a folder, or s3://BUCKET/PREFIX.",
            ) from error
        except OSError as error:
            raise StorageError(f"The folder {place} cannot be made: {error.strerror}.") from error

    def put(self, name: str, content: bytes | Path) -> None:
        """Keep an object under ``name``, in place of any before; it appears whole or not at all.

        Raises:
            StorageError: it cannot be kept.
        """
        with self._failures(name):
            obstore.put(self._store, _checked(name), content, chunk_size=8 * _PIECE)
            if self._folder is not None:
                _sync(self._folder / name)

    def find(self, name: str) -> Found | None:
        """The object of this name, or ``None``.

        Raises:
            StorageError: the store cannot be asked.
        """
        if not is_name(name):
            return None
        with self._failures(name):
            try:
                meta = obstore.head(self._store, name)
            except (NotFoundError, FileNotFoundError):
                return None
            return Found(name, meta["size"], meta["e_tag"] or "")

    def read(self, name: str, *, limit: int) -> bytes:
        """An object's content.

        Raises:
            StorageError: it is not there, cannot be read, or has more than ``limit`` bytes.
        """
        with self._failures(name):
            answer = obstore.get(self._store, _checked(name))
            if answer.meta["size"] > limit:
                raise StorageError(f"The object {name} is larger than {limit} bytes.")
            return bytes(answer.bytes())

    async def stream(self, found: Found, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to ``end``, in pieces; a store that fails ends the stream.

        Raises:
            StorageError: the store cannot be read.
        """
        while start < end:
            stop = min(start + _PIECE, end)
            with self._failures(found.name):
                piece = await obstore.get_range_async(
                    self._store, found.name, start=start, end=stop
                )
            yield bytes(piece)
            start = stop

    def names(self, prefix: str = "") -> Iterator[Found]:
        """Every object below ``prefix`` (a whole part of a name).

        Raises:
            StorageError: the store cannot be asked.
        """
        with self._failures(prefix or self.place):
            for page in obstore.list(self._store, prefix or None, chunk_size=500):
                for meta in page:
                    yield Found(meta["path"], meta["size"], meta["e_tag"] or "")

    def delete(self, name: str) -> None:
        """Forget an object; one that is not there is forgotten already.

        Raises:
            StorageError: it cannot be deleted.
        """
        with self._failures(name):
            try:
                obstore.delete(self._store, _checked(name))
            except (NotFoundError, FileNotFoundError):
                return

    @contextmanager
    def _failures(self, name: str) -> Iterator[None]:
        try:
            yield
        except StorageError:
            raise
        except (BaseError, OSError) as error:
            raise StorageError(
                f"The object {name} at {self.place} cannot be used: {_short(error)}."
            ) from error


def is_name(name: str) -> bool:
    """Whether this may name an object: plain parts between single slashes, none of them hidden."""
    return _NAME.fullmatch(name) is not None


def _s3_options() -> dict[str, Any]:
    # Options given here hide AWS_ALLOW_HTTP, which a store on a private network may need.
    plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}
    client = {"timeout": "60s", "connect_timeout": "10s", "allow_http": plain}
    return {"client_options": client, "retry_config": _PATIENCE}


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)


def _checked(name: str) -> str:
    if not is_name(name):
        raise StorageError(f"{name!r} cannot be the name of an object.")
    return name


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
