"""The signed repository as this device trusts it; python-tuf's ``Updater`` is the only verifier."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from tuf.api.exceptions import (
    DownloadError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
    SlowRetrievalError,
)
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.files import write_atomic
from sync.errors import SyncError, UpdateRefusedError, UpdateTooSlowError
from sync.updater.clock import ClockState, read_clock
from sync.updater.fetching import Fetcher


class Repository:
    """One visit to the repository: refresh once, then look up and fetch targets.

    Args:
        metadata_dir: where trusted metadata is kept from visit to visit; exists.
        fetcher: brings the files.
        metadata_url: where metadata lies, as the fetcher names it.
        targets_url: where targets lie, as the fetcher names it.
        root: the root metadata this device was given; ``None`` takes the one kept before.
        grace: how long past its expiry metadata is still taken.
        wall: the device's clock; the system's by default.

    Raises:
        UpdateRefusedError: there is no valid trusted root.
    """

    def __init__(
        self,
        metadata_dir: Path,
        fetcher: Fetcher,
        metadata_url: str,
        targets_url: str = "",
        *,
        root: bytes | None = None,
        grace: timedelta = timedelta(0),
        wall: datetime | None = None,
    ) -> None:
        self._dir = metadata_dir
        self._fetcher = fetcher
        self._urls = (metadata_url, targets_url)
        self._root = root
        self._grace = grace
        self._wall = wall
        self.clock: ClockState = "believed"
        self._updater = self._open()

    def refresh(self) -> None:
        """Bring the metadata up to date, from another mirror where one does not verify.

        Raises:
            UpdateRefusedError: what every mirror offers is not signed as it must be, expired, or
                older than what this device has seen.
            SyncError: no mirror can be reached.
            UpdateTooSlowError: it came too slowly.
            StorageError: it cannot be kept.
        """
        for attempt in range(self._fetcher.mirrors):
            try:
                with _explained("The signed metadata"), storage_errors(self._dir):
                    self._updater.refresh()
            except UpdateRefusedError:
                if attempt + 1 == self._fetcher.mirrors:
                    raise
                self._fetcher.prefer_next()
                self._updater = self._open()
            else:
                return

    def find(self, path: str) -> TargetFile | None:
        """What the repository signs about a target, or ``None`` where it has no such target.

        Raises:
            As :meth:`refresh`.
        """
        with _explained(path), storage_errors(self._dir):
            return self._updater.get_targetinfo(path)

    def require(self, path: str, limit: int) -> TargetFile:
        """Like :meth:`find`, for a target that must be there and be at most ``limit`` bytes.

        Raises:
            UpdateRefusedError: there is none, or it is larger.
            As :meth:`refresh`.
        """
        target = self.find(path)
        if target is None:
            raise UpdateRefusedError(f"The repository has no signed {path}.")
        if target.length > limit:
            raise UpdateRefusedError(
                f"{path} is refused: {target.length} bytes, at most {limit} are allowed."
            )
        return target

    def read(self, path: str, limit: int) -> bytes:
        """A small target's verified content.

        Raises:
            As :meth:`require`.
        """
        with self.opened(self.require(path, limit)) as file:
            return file.read()

    @contextlib.contextmanager
    def opened(self, target: TargetFile) -> Iterator[IO[bytes]]:
        """A target's content, verified against its signed length and hashes.

        A copy that proves wrong is fetched anew, once from each mirror.

        Raises:
            As :meth:`refresh`.
        """
        for attempt in range(self._fetcher.mirrors + 1):
            with contextlib.ExitStack() as stack:
                try:
                    file = self._fetch(target, stack)
                except UpdateRefusedError:
                    if attempt == self._fetcher.mirrors:
                        raise
                    self._fetcher.prefer_next()
                else:
                    yield file
                    return

    def _fetch(self, target: TargetFile, stack: contextlib.ExitStack) -> IO[bytes]:
        url = self._updater.target_url(target)
        with _explained(target.path), storage_errors(self._dir), contextlib.ExitStack() as trying:
            file = trying.enter_context(self._fetcher.download_file(url, target.length))
            target.verify_length_and_hashes(file)
            file.seek(0)
            stack.push(trying.pop_all())
            return file

    def _open(self) -> _Updater:
        # Read before python-tuf points root.json back at the given root: a kept newer root may have
        # taken a stolen key away, and with it the times that key signed.
        kept = self._dir / "root.json"
        if self._root is not None and not kept.exists():
            with storage_errors(self._dir):
                write_atomic(kept, self._root)
        reading = read_clock(self._dir, self._wall or datetime.now(UTC), grace=self._grace)
        self.clock = reading.clock
        metadata_url, targets_url = self._urls
        with _explained("The trusted root"), storage_errors(self._dir):
            updater = _Updater(
                str(self._dir),
                metadata_url,
                target_base_url=targets_url,
                fetcher=self._fetcher,
                bootstrap=self._root,
            )
        updater.judge_by(reading.now)
        return updater


class _Updater(Updater):
    """python-tuf's, on a disk that may lose power and a clock that may be wrong."""

    def judge_by(self, now: datetime) -> None:
        self._trusted_set.reference_time = now

    def target_url(self, target: TargetFile) -> str:
        """Where ``download_target`` would fetch from; it copies whole files, we keep the part."""
        folder, slash, name = target.path.rpartition("/")
        consistent = self._trusted_set.root.consistent_snapshot
        prefix = f"{next(iter(target.hashes.values()))}." if consistent else ""
        return f"{self._target_base_url}{folder}{slash}{prefix}{name}"

    def _persist_file(self, filename: str, data: bytes) -> None:
        write_atomic(Path(filename), data)


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """python-tuf's errors as this project's, each with what to do."""
    try:
        yield
    except ExpiredMetadataError as error:
        raise UpdateRefusedError(
            f"The update is refused: {_sentence(error)}.",
            hint="Check this device's date and time; if right, the server or stick is old.",
        ) from error
    except SlowRetrievalError as error:
        raise UpdateTooSlowError(
            f"{what} came too slowly: {_sentence(error)}.", hint="Try again later."
        ) from error
    except DownloadLengthMismatchError as error:
        raise UpdateRefusedError(f"{what} is refused: {_sentence(error)}.") from error
    except DownloadError as error:
        raise SyncError(
            f"{what} cannot be fetched: {_sentence(error)}.",
            hint="Try again: it continues where it stopped.",
        ) from error
    except (RepositoryError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, EdgeRuntimeError):
            raise
        raise UpdateRefusedError(
            f"{what} is refused: {_sentence(error)}.",
            hint="Nothing was changed. Tell whoever runs the update server.",
        ) from error


def _sentence(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
