"""Training and validation: whatever began as one phrase or example stays together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from rapidfuzz import fuzz, process

from converters.synth.likeness import NEAR, plain
from converters.synth.lines import Line

VALID_SHARE: Final = 0.1
_BATCH: Final = 512


def split(lines: Sequence[Line], seed: int) -> tuple[list[Line], list[Line], int]:
    """Training lines, validation lines, and how many of the latter were dropped because a
    training line is nearly the same.

    Of every intent in every language about a tenth of the origins go to validation, at least one.
    """
    held: set[str] = set()
    cells: dict[tuple[str, str], set[str]] = {}
    for line in lines:
        cells.setdefault((line.language, line.intent), set()).add(line.origin)
    for origins in cells.values():
        ordered = sorted(origins, key=lambda origin: _rank(origin, seed))
        if len(ordered) > 1:
            held.update(ordered[: max(1, round(len(ordered) * VALID_SHARE))])
    train = [line for line in lines if line.origin not in held]
    apart = [line for line in lines if line.origin in held]
    kept: list[Line] = []
    for language in dict.fromkeys(line.language for line in apart):
        own = [line for line in apart if line.language == language]
        known = [plain(line.text) for line in train if line.language == language]
        close = _close([plain(line.text) for line in own], known)
        kept += [line for line, near in zip(own, close, strict=True) if not near]
    return train, kept, len(apart) - len(kept)


def _rank(origin: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{origin}".encode()).digest()


def _close(texts: Sequence[str], known: Sequence[str]) -> list[bool]:
    found: list[bool] = []
    for start in range(0, len(texts), _BATCH):
        scores = process.cdist(
            texts[start : start + _BATCH],
            known,
            scorer=fuzz.ratio,
            score_cutoff=NEAR,
            dtype=np.uint8,
        )
        found += [bool(row.any()) for row in scores]
    return found
