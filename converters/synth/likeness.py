"""When two texts are the same, nearly the same, or must not occur at all."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from rapidfuzz import fuzz, process

from converters.errors import DatasetError

NEAR: Final = 90.0
"""Likeness, 0 to 100 (``rapidfuzz.fuzz.ratio``), from which two texts count as the same."""

_NOT_WORD: Final = re.compile(r"[\W_]+")
_DIGIT: Final = re.compile(r"\d")
_KEYS: Final = ("text", "question", "utterance")
_MAX_BYTES: Final = 64 * 2**20
_MAX_LINES: Final = 200_000
_BATCH: Final = 512
_LONGEST: Final = 300


def plain(text: str) -> str:
    """Letters and digits only, lower case, one space between words; every digit is a 0."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_WORD.sub(" ", _DIGIT.sub("0", folded)).strip()


def key(text: str) -> str:
    """Equal for texts that differ in spaces, accents, digits, capitals and punctuation only."""
    decomposed = unicodedata.normalize("NFD", plain(text))
    return "".join(c for c in decomposed if c != " " and not unicodedata.combining(c))


def near_any(text: str, others: Sequence[str], *, limit: float = NEAR) -> bool:
    """Whether one of ``others`` (:func:`plain`, like ``text``) is nearly the same."""
    return process.extractOne(text, others, scorer=fuzz.ratio, score_cutoff=limit) is not None


class Exclusion:
    """Texts that must not occur, exactly or nearly, such as those of a test set."""

    def __init__(self, texts: Iterable[str]) -> None:
        whole = [plain(text)[:_LONGEST] for text in texts]
        self._plain = sorted(set(filter(None, whole)))
        self._keys = frozenset(map(key, self._plain))

    @classmethod
    def read(cls, files: Sequence[Path]) -> Exclusion:
        """Collect the texts of JSON Lines (``text`` or ``question`` of each) or of plain lines.

        Raises:
            DatasetError: a file cannot be read, is too large, or holds no text.
        """
        return cls(text for file in files for text in _texts(file))

    def __len__(self) -> int:
        return len(self._plain)

    def hits(self, texts: Sequence[str]) -> list[bool]:
        """For each text, whether it is one of those excluded, or nearly."""
        found = [key(text) in self._keys for text in texts]
        if not self._plain:
            return found
        for start in range(0, len(texts), _BATCH):
            batch = [plain(text)[:_LONGEST] for text in texts[start : start + _BATCH]]
            scores = process.cdist(
                batch, self._plain, scorer=fuzz.ratio, score_cutoff=NEAR, dtype=np.uint8
            )
            for offset in np.flatnonzero(scores.max(axis=1)).tolist():
                found[start + offset] = True
        return found


def _texts(file: Path) -> Iterable[str]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DatasetError(f"The file is larger than {_MAX_BYTES // 2**20} MiB.", file=file)
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"The file cannot be read: {error.strerror}.", file=file) from error
    except UnicodeDecodeError as error:
        raise DatasetError("The file is not UTF-8.", file=file) from error
    if len(lines) > _MAX_LINES:
        raise DatasetError(f"The file has more than {_MAX_LINES} lines.", file=file)
    texts = [text for number, line in enumerate(lines, 1) for text in _line(file, number, line)]
    if not texts:
        raise DatasetError("The file holds no text to exclude.", file=file)
    return texts


def _line(file: Path, number: int, line: str) -> list[str]:
    if not line.lstrip().startswith("{"):
        return [line] if line.strip() else []
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError("The line is not JSON.", file=file, line=number) from error
    texts = [value[name] for name in _KEYS if isinstance(value.get(name), str)]
    if not texts:
        raise DatasetError("The line has no 'text'.", file=file, line=number)
    return texts
