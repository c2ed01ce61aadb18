"""A folder or USB stick as a source: archives or finished files, wherever they lie in it."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from edge_runtime.bundles.blobs import sha256_of
from edge_runtime.bundles.catalogue import Archive, ModelFile
from edge_runtime.bundles.sources import check_archive
from edge_runtime.errors import FetchError, ModelCorruptError

_MAX_FILES = 200_000


class Folder:
    """Files below ``root``, found by content rather than by name; links are not followed.

    Raises:
        FetchError: ``root`` is no folder, or holds more files than a model stick ever would.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FetchError(f"{root} is not a folder.", hint="Check the path given to --from.")
        self.root = root
        self._by_size: dict[int, list[Path]] = defaultdict(list)
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._hashes: dict[Path, str] = {}
        count = 0
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                if path.is_symlink() or not path.is_file():
                    continue
                count += 1
                if count > _MAX_FILES:
                    raise FetchError(f"{root} holds more than {_MAX_FILES} files.")
                self._by_size[path.stat().st_size].append(path)
                self._by_name[name].append(path)

    def file(self, wanted: ModelFile) -> Path | None:
        """A finished file with exactly this content, or ``None``."""
        return self._with_content(wanted.size, wanted.sha256)

    def archive(self, wanted: Archive) -> Path | None:
        """This archive, verified, or ``None`` when the folder does not hold it.

        Raises:
            ModelCorruptError: a file of that name is there, but it is not the pinned one.
        """
        if wanted.size and (path := self._with_content(wanted.size, wanted.sha256)):
            return path
        wrong: ModelCorruptError | None = None
        for path in self._by_name[wanted.file]:
            try:
                check_archive(path, wanted)
            except ModelCorruptError as error:
                wrong = error
            else:
                return path
        if wrong is not None:
            raise wrong
        return None

    def _with_content(self, size: int, sha256: str) -> Path | None:
        for path in self._by_size[size]:
            if path not in self._hashes:
                self._hashes[path] = sha256_of(path)
            if self._hashes[path] == sha256:
                return path
        return None
