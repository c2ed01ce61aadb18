"""The work folder of a recipe: one folder a stage, whole or absent, with a record of how it came.

::

    <work>/<stage>/               what the stage made, and .stage.json, its record
    <work>/.<stage>.partial/      a stage under way; a killed run's next run continues in it
    <work>/.lock                  held by the run
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from converters.errors import OptionError
from converters.recipe.sources import file_hashes
from edge_runtime.bundles.blobs import exclusive, storage_errors
from edge_runtime.bundles.documents import Strict, canonical_json
from edge_runtime.errors import StorageError
from edge_runtime.files import sync_folder, write_atomic

_RECORD: Final = ".stage.json"
_KEY: Final = ".key"
_MAX_RECORD_BYTES: Final = 16 * 2**20
_HASH: Final = r"^[0-9a-f]{64}$"


class Record(Strict):
    """How a stage's folder came to be, and what it held then.

    ``key`` is the hash of all that decides the result: ``code``, ``options`` and ``inputs`` (hash
    by name). ``files`` holds size and sha256 by name.
    """

    key: str = Field(pattern=_HASH)
    code: str
    options: dict[str, str]
    inputs: dict[str, str]
    seconds: float = Field(ge=0)
    files: dict[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Workspace:
    """The stages' folders under ``root``, which need not exist yet."""

    root: Path

    def folder(self, stage: str) -> Path:
        """Where the stage's finished output is."""
        return self.root / stage

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the work folder against a second run.

        Raises:
            OptionError: another run holds it.
            StorageError: it cannot be written.
        """

        def refuse() -> None:
            raise OptionError(
                f"Another run is at work in {self.root}.",
                hint="Wait for it, or name another folder with --work.",
            )

        with ExitStack() as held:
            with storage_errors_here(self.root):
                held.enter_context(exclusive(self.root, refuse))
            yield

    def record(self, stage: str) -> Record | None:
        """The stage's record; ``None`` when it never finished or the record is damaged."""
        return _read_record(self.folder(stage) / _RECORD)

    def damage(self, stage: str, record: Record) -> str:
        """The first file of the stage that is not what it was, or an empty text.

        Raises:
            StorageError: something cannot be read.
        """
        found = file_hashes(self.folder(stage))
        for name, expected in record.files.items():
            if found.get(name) != tuple(expected):
                return name
        return next((name for name in found if name not in record.files), "")

    def begun(self, stage: str, key: str) -> bool:
        """Whether a killed run left a part of exactly this work."""
        try:
            return (self._partial(stage) / _KEY).read_text("utf-8") == key
        except (OSError, UnicodeDecodeError):
            return False

    def begin(self, stage: str, key: str) -> Path:
        """The folder to work in: what a killed run with the same ``key`` left, or an empty one.

        Raises:
            StorageError: it cannot be written.
        """
        partial = self._partial(stage)
        with storage_errors_here(self.root):
            if not self.begun(stage, key):
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                write_atomic(partial / _KEY, key.encode())
        return partial

    def finish(self, stage: str, record: Record) -> None:
        """Make the folder of :meth:`begin` the stage's output, with its record and without its
        hidden files, which only served to make it.

        Raises:
            StorageError: it cannot be written.
        """
        partial, final = self._partial(stage), self.folder(stage)
        retired = self.root / f".{stage}.retired"
        with storage_errors_here(self.root):
            write_atomic(partial / _RECORD, canonical_json(record.model_dump()))
            for path in partial.glob(".*"):
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name not in (_RECORD, _KEY):
                    path.unlink()
            shutil.rmtree(retired, ignore_errors=True)
            if final.exists():
                final.rename(retired)
            partial.rename(final)
            (final / _KEY).unlink(missing_ok=True)
            sync_folder(self.root)
            shutil.rmtree(retired, ignore_errors=True)

    def settle(self, stage: str) -> None:
        """Complete a :meth:`finish` that was killed between its two renames.

        Raises:
            StorageError: it cannot be written.
        """
        partial = self._partial(stage)
        if _read_record(partial / _RECORD) and not self.folder(stage).exists():
            with storage_errors_here(self.root):
                partial.rename(self.folder(stage))

    def _partial(self, stage: str) -> Path:
        return self.root / f".{stage}.partial"


def describe(folder: Path) -> Mapping[str, tuple[int, str]]:
    """What a record states about a stage's files.

    Raises:
        StorageError: something cannot be read.
    """
    return file_hashes(folder)


@contextmanager
def storage_errors_here(folder: Path) -> Iterator[None]:
    """Operating system errors as one sentence, with advice that fits a work folder.

    Raises:
        StorageError: the disk is full, read-only or broken.
    """
    try:
        with storage_errors(folder):
            yield
    except StorageError as error:
        raise StorageError(
            error.message,
            hint="Free some space or name another folder with --work; finished stages are kept.",
        ) from error


def _read_record(path: Path) -> Record | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_RECORD_BYTES)
        return Record.model_validate_json(raw)
    except (OSError, ValidationError):
        return None


def option_texts(options: Mapping[str, object]) -> dict[str, str]:
    """Options as canonical texts, so that records can be compared one by one."""
    return {name: json.dumps(value, sort_keys=True, default=str) for name, value in options.items()}
