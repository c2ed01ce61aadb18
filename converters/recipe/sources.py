"""What a recipe names from outside: files, folders and catalogued models, and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from converters.errors import OptionError
from edge_runtime.bundles import ModelStore
from edge_runtime.bundles.blobs import sha256_of
from edge_runtime.bundles.documents import canonical_json
from edge_runtime.config import PACKS_DIR
from edge_runtime.errors import StorageError

_MAX_FILES: Final = 20_000


def resolve_path(named: str, home: Path, what: str) -> Path:
    """The file or folder that a recipe in ``home`` names as ``what``.

    Raises:
        OptionError: there is none.
    """
    path = home / Path(named).expanduser()
    if not path.exists():
        raise OptionError(
            f"{what} names {named}, and there is no {path}.",
            hint="Paths are read from the recipe's own folder.",
        )
    return path


def resolve_model(named: str, home: Path, store: ModelStore, what: str) -> Path:
    """A checkpoint by path, or the GGUF file of a catalogued model, every byte just checked.

    Raises:
        OptionError: there is neither a file nor a catalogued model of that name, or the model is
            no language model.
        ModelMissingError: the model is not on this machine; says how to get it.
        ModelCorruptError: its bytes are not the catalogued ones.
    """
    path = home / Path(named).expanduser()
    if path.exists():
        return path
    if named not in store.catalogue.entries:
        raise OptionError(
            f"{what} names {named}, which is neither a catalogued model nor {path}.",
            hint="See the ids with: edge-runtime models list",
        )
    found = [file for file in store.files(named).values() if file.suffix == ".gguf"]
    if len(found) != 1:
        raise OptionError(
            f"{what} names {named}, which is not a language model in a GGUF file.",
            hint="See what each model is for with: edge-runtime models list",
        )
    return found[0]


def resolve_pack(named: str, home: Path) -> Path:
    """A shipped pack by name, or a folder.

    Raises:
        OptionError: there is neither.
    """
    shipped = PACKS_DIR / named
    if named.isidentifier() and shipped.is_dir():
        return shipped
    return resolve_path(named, home, "recipe.pack")


def file_hashes(root: Path) -> dict[str, tuple[int, str]]:
    """Size and sha256 of every file under ``root`` by relative name; of a file, under ``.``.

    Hidden files are left out: they are notes of whoever made the rest.

    Raises:
        OptionError: there are too many files to be an input.
        StorageError: something cannot be read.
    """
    try:
        if root.is_file():
            return {".": (root.stat().st_size, sha256_of(root))}
        found: dict[str, tuple[int, str]] = {}
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root)
            if path.is_dir() or any(part.startswith(".") for part in name.parts):
                continue
            if len(found) >= _MAX_FILES:
                raise OptionError(f"{root} holds more than {_MAX_FILES} files.")
            found[name.as_posix()] = (path.stat().st_size, sha256_of(path))
        return found
    except OSError as error:
        raise StorageError(f"{root} cannot be read: {error.strerror or error}.") from error


def tree_digest(files: Mapping[str, tuple[int, str]]) -> str:
    """One hash over names and content; a folder's does not depend on where it lies."""
    return hashlib.sha256(canonical_json({n: [*of] for n, of in files.items()})).hexdigest()
