"""Where a repository's files come from: the network, or a folder or zip that was carried here."""

from __future__ import annotations

import abc
import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
)
from tuf.ngclient import FetcherInterface

from edge_runtime.bundles.names import safe_name
from sync.errors import UpdateRefusedError

CARRIED = "carried:/"
METADATA = f"{CARRIED}metadata/"
TARGETS = f"{CARRIED}targets/"
_BLOCK = 2**20


class Fetcher(FetcherInterface):
    """Brings files for python-tuf's ``Updater``; several places may hold the same repository."""

    mirrors = 1
    received = 0
    """Bytes that came over the network so far."""

    @abc.abstractmethod
    def prefer_next(self) -> None:
        """Ask the place that is now first last from now on: what it gave did not verify."""


class CarriedFetcher(Fetcher):
    """Reads a copy of a repository, ``metadata/`` and ``targets/``, from a folder or a zip file.

    Args:
        path: the folder (a USB stick's) or the zip file.

    Raises:
        UpdateRefusedError: it is neither, or holds no repository.
    """

    def __init__(self, path: Path) -> None:
        self._root: Path | zipfile.Path
        if path.is_dir():
            self._root = path
        elif zipfile.is_zipfile(path):
            self._root = zipfile.Path(path)
        else:
            raise UpdateRefusedError(
                f"{path} is neither a folder nor a zip file.",
                hint="Name the stick's folder that holds metadata/ and targets/.",
            )
        if not (self._root / "metadata" / "timestamp.json").is_file():
            raise UpdateRefusedError(
                f"{path} holds no update: it has no metadata/timestamp.json.",
                hint="Copy the whole repository folder, metadata/ and targets/.",
            )

    def prefer_next(self) -> None:
        """There is only one place."""

    @contextlib.contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """Like python-tuf's; a target is read where it lies instead of being copied first."""
        if not url.startswith(TARGETS):
            with super().download_file(url, max_length) as copy:
                yield copy
            return
        with self._find(url).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size > max_length:
                raise DownloadLengthMismatchError(f"{url} has {size} bytes, not {max_length}")
            file.seek(0)
            yield file

    def _fetch(self, url: str) -> Iterator[bytes]:
        with self._find(url).open("rb") as file:
            while block := file.read(_BLOCK):
                yield block

    def _find(self, url: str) -> Path | zipfile.Path:
        name = url.removeprefix(CARRIED)
        if not safe_name(name):
            raise DownloadError(f"unsafe name {name!r}")
        path = self._root.joinpath(name)
        if not path.is_file():
            raise DownloadHTTPError(f"{name} is not there", 404)
        return path
