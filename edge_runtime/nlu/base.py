"""What the rest of this room asks of an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
TextKind = Literal["query", "passage"]
Progress = Callable[[str, float], None]
"""Called with what is being done and the share already done, in [0, 1]."""


class Embedder(Protocol):
    """Sentence vectors of one space for every language.

    ``fingerprint`` changes whenever the vectors could; caches of what was computed from them are
    keyed by it.
    """

    @property
    def fingerprint(self) -> str: ...

    def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """Unit-norm float32 vectors, shape (n, dimension), in the order of ``texts``."""
        ...
