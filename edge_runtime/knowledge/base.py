"""What the knowledge room needs from outside and what it reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into unit-length sentence vectors of shape (n, dimensions)."""

    def encode(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vectors: ...


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What an incremental re-index did, in files and passages."""

    files_read: int
    files_removed: int
    passages_embedded: int
    passages_total: int
