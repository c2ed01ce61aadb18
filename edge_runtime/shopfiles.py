"""The shop's own knowledge files, kept with the device's data so that updates spare them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.config import Settings
from edge_runtime.errors import PackError, StorageError
from edge_runtime.files import atomic_writer
from edge_runtime.packs import read_passages

_SUFFIXES = frozenset({".md", ".csv"})


def shop_folder(settings: Settings) -> Path:
    """Where this shop's own files for the current pack live."""
    return settings.data_dir / "knowledge" / settings.pack_dir.name


def shop_files(settings: Settings) -> list[Path]:
    """The shop's own knowledge files, by name."""
    folder = shop_folder(settings)
    return sorted(p for p in folder.glob("*") if p.suffix in _SUFFIXES) if folder.is_dir() else []


def add_files(settings: Settings, files: Sequence[Path]) -> list[Path]:
    """Check every file, then copy all of them; nothing is copied when one is wrong.

    Raises:
        PackError: a file is missing or malformed.
        StorageError: the data folder cannot be written.
    """
    for path in files:
        if not path.is_file():
            raise PackError("There is no such file.", file=str(path))
        read_passages(path, path.parent)
    folder = shop_folder(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_copy(path, folder) for path in files]
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror}.",
            hint="Free disk space or check the folder's permissions.",
        ) from error


def _copy(source: Path, folder: Path) -> Path:
    target = folder / source.name
    with source.open("rb") as content, atomic_writer(target) as copy:
        shutil.copyfileobj(content, copy)
    return target
