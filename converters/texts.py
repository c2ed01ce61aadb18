"""Plain text of the domain: what models are measured on and importance is collected from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from converters.errors import DatasetError

_MAX_TEXT_BYTES: Final = 16 * 2**20


def check_text(text: Path) -> None:
    """Hold a text file against what the engines can read.

    Raises:
        DatasetError: it is missing, empty, too long or not UTF-8.
    """
    try:
        with text.open("rb") as file:
            content = file.read(_MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"The text cannot be read: {error.strerror}.", file=text) from error
    if len(content) > _MAX_TEXT_BYTES:
        raise DatasetError(f"The text is longer than {_MAX_TEXT_BYTES // 2**20} MiB.", file=text)
    try:
        empty = not content.decode().strip()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError("The text is not UTF-8.", file=text, line=line) from error
    if empty:
        raise DatasetError("The text is empty.", file=text)
