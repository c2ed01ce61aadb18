"""What kind of file a component is, and the one kind that is never opened."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from converters.errors import ModelFileError

_BY_SUFFIX: Final[Mapping[str, str]] = {
    ".gguf": "gguf",
    ".onnx": "onnx",
    ".ort": "ort",
    ".npz": "npz",
    ".npy": "npy",
    ".json": "json",
    ".model": "sentencepiece",
    ".safetensors": "safetensors",
    ".txt": "text",
    ".bin": "binary",
}
_PICKLE_PROTOCOLS: Final = range(2, 6)
_MAX_MEMBERS: Final = 100_000


def file_format(path: Path) -> str:
    """The format a manifest states for a file, told by its suffix."""
    return _BY_SUFFIX.get(path.suffix.lower(), "other")


def refuse_pickle(path: Path) -> None:
    """Refuse Python pickles, bare or inside a PyTorch checkpoint's zip.

    Raises:
        ModelFileError: the file is a pickle, is no file, or cannot be read.
    """
    try:
        if not path.is_file():
            raise ModelFileError(f"{path} is not a file.", hint="Check the path.")
        with path.open("rb") as file:
            start = file.read(2)
        pickled = len(start) == 2 and start[0] == 0x80 and start[1] in _PICKLE_PROTOCOLS
        if pickled or (start == b"PK" and _holds_pickle(path)):
            raise ModelFileError(
                f"{path} is a Python pickle, which can run code when it is opened; it is refused.",
                hint="Save the checkpoint as safetensors or GGUF.",
            )
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


def _holds_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MAX_MEMBERS]
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False
    return any(name.endswith((".pkl", ".pickle")) for name in names)
