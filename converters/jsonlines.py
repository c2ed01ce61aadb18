"""JSON Lines from outside, read within bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from converters.errors import DatasetError

_MAX_LINE_BYTES: Final = 200_000
_MAX_ROWS: Final = 1_000_000


def json_lines(
    path: Path, *, most: int = _MAX_ROWS, longest: int = _MAX_LINE_BYTES, hint: str = ""
) -> Iterator[tuple[int, Any]]:
    """Each line that is not blank with its number, from 1 on.

    Args:
        most: lines there may be.
        longest: bytes of a line.
        hint: what a line should look like, for the errors.

    Raises:
        DatasetError: the file is missing or too large, or a line is too long or not JSON.
    """
    try:
        with path.open("rb") as file:
            for number in range(1, most + 2):
                line = file.readline(longest + 1)
                if not line:
                    return
                if number > most:
                    raise DatasetError(f"The file has more than {most} lines.", file=path)
                if len(line) > longest:
                    raise DatasetError(
                        f"The line is longer than {longest} bytes.",
                        file=path,
                        line=number,
                        hint=hint,
                    )
                if line.strip():
                    yield number, _parsed(line, path, number, hint)
    except OSError as error:
        raise DatasetError(f"The file cannot be read: {error.strerror}.", file=path) from error


def _parsed(line: bytes, path: Path, number: int, hint: str) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            "The line is not JSON in UTF-8.", file=path, line=number, hint=hint
        ) from error
