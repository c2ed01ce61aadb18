"""Reading a pack's folder without trusting it: bounded, inside its root, UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

from edge_runtime.packs.problems import Problems

MAX_FILES = 1000
MAX_TEXT_BYTES = 4 * 2**20
MAX_TABLE_BYTES = 16 * 2**20
MAX_IMAGE_BYTES = 2 * 2**20
MAX_PACK_BYTES = 128 * 2**20
MAX_DEPTH = 6

IMAGE_SUFFIXES = frozenset({".png", ".webp", ".jpg", ".jpeg"})


def byte_limit(name: str) -> int:
    """The largest size, in bytes, that a pack's file of this name may have."""
    suffix = Path(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return MAX_IMAGE_BYTES
    return MAX_TABLE_BYTES if suffix in {".csv", ".tsv"} else MAX_TEXT_BYTES


def relative_name(file: Path, root: Path) -> str:
    """``file`` as the pack names it (POSIX, relative to ``root``), or its bare name."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name


def read_text(file: Path, name: str, problems: Problems) -> str | None:
    """The file's text without a byte-order mark, or ``None`` after reporting why not.

    Reads at most one byte past the limit, so a file that grows meanwhile stays bounded.
    """
    limit = byte_limit(name)
    try:
        with file.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        problems.report(
            f"The file cannot be read: {error.strerror or error}.",
            file=name,
            hint="Check that it exists and that its permissions allow reading.",
        )
        return None
    if len(content) > limit:
        problems.report(
            f"The file is larger than the {limit // 2**20} MiB a file of this kind may have.",
            file=name,
            hint="Split it into several files.",
        )
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.report(
            f"The file is not UTF-8 (byte {error.start}).",
            file=name,
            line=content.count(b"\n", 0, error.start) + 1,
            hint="Save it again with the encoding UTF-8.",
        )
        return None
    if "\0" in text:
        problems.report(
            "The file contains a NUL character, so it is not text.",
            file=name,
            line=text.count("\n", 0, text.index("\0")) + 1,
            hint="Save it again as plain UTF-8 text.",
        )
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


class PackFolder:
    """The plain files of one pack folder, by pack-relative name, checked and bounded."""

    def __init__(self, root: Path, problems: Problems) -> None:
        self.root = root
        self._problems = problems
        self.names: tuple[str, ...] = ()
        if root.is_dir():
            self.names = tuple(self._walk())
        else:
            problems.report(
                f"There is no pack folder {root}.",
                hint="Name a pack that ships (such as 'retail') or the folder of your own pack.",
            )

    def path(self, name: str) -> Path:
        return self.root / name

    def has(self, name: str) -> bool:
        return name in self._known

    def text(self, name: str) -> str | None:
        """The text of one of ``names``, or ``None`` after reporting why it cannot be had."""
        return read_text(self.root / name, name, self._problems)

    def _walk(self) -> list[str]:
        real_root = self.root.resolve()
        names: list[str] = []
        total = 0
        for folder, subfolders, files in os.walk(self.root):
            here = Path(folder)
            subfolders[:] = sorted(d for d in subfolders if self._enter(here / d, real_root))
            for file in sorted(files):
                if file.startswith("."):
                    continue
                size = self._size(here / file, real_root)
                if size is None:
                    continue
                names.append(relative_name(here / file, self.root))
                total += size
            if len(names) > MAX_FILES or total > MAX_PACK_BYTES:
                self._problems.report(
                    f"The pack has more than {MAX_FILES} files or {MAX_PACK_BYTES // 2**20} MiB.",
                    hint="Check that the folder is a pack, and remove what it does not need.",
                )
                break
        self._known = frozenset(names)
        return sorted(names)

    def _enter(self, folder: Path, real_root: Path) -> bool:
        """Whether to look into ``folder``: hidden ones, links and very deep ones are skipped."""
        if folder.name.startswith(".") or folder.name == "__pycache__":
            return False
        if folder.is_symlink():
            if not folder.resolve().is_relative_to(real_root):
                self._refuse_escape(folder)
            return False
        return len(folder.relative_to(self.root).parts) <= MAX_DEPTH

    def _size(self, file: Path, real_root: Path) -> int | None:
        if file.is_symlink() and not file.resolve().is_relative_to(real_root):
            self._refuse_escape(file)
            return None
        name = relative_name(file, self.root)
        if not file.is_file():
            self._problems.report(
                "This is not a plain file.", file=name, hint="Remove it from the pack."
            )
            return None
        size = file.stat().st_size
        if size > byte_limit(name):
            self._problems.report(
                f"The file has {size:,} bytes; at most {byte_limit(name):,} are allowed.",
                file=name,
                hint="Make it smaller or split it.",
            )
            return None
        return size

    def _refuse_escape(self, path: Path) -> None:
        self._problems.report(
            "This link leads out of the pack.",
            file=relative_name(path, self.root),
            hint="Copy the file it points to into the pack instead.",
        )
