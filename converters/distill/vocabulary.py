"""Whether teacher and student count in the same tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from converters.errors import ModelFileError


def vocabulary(folder: Path) -> dict[str, int]:
    """Token ids by piece, special tokens included.

    Raises:
        ModelFileError: the folder has no readable ``tokenizer.json``.
    """
    path = folder / "tokenizer.json"
    try:
        document: Any = json.loads(path.read_bytes())
        pieces = document["model"]["vocab"]
        if isinstance(pieces, list):
            pieces = {piece: number for number, (piece, _) in enumerate(pieces)}
        added = {token["content"]: token["id"] for token in document.get("added_tokens", ())}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(
            f"{path} cannot be read as a tokenizer.", hint="Save the model with its tokenizer."
        ) from error
    return {**pieces, **added}


def difference(teacher: Path, student: Path) -> str:
    """In which way the two vocabularies differ, or an empty text.

    Raises:
        ModelFileError: a tokenizer cannot be read.
    """
    of_teacher, of_student = vocabulary(teacher), vocabulary(student)
    if of_teacher == of_student:
        return ""
    if len(of_teacher) != len(of_student):
        return f"{len(of_teacher)} pieces against {len(of_student)}"
    moved = min(piece for piece, number in of_teacher.items() if of_student.get(piece) != number)
    return f"'{moved}' is not the same token in both"
