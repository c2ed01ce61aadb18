"""Whether weights were recovered from a 4-bit file.

Such weights take at most 16 values in each block of 32, which weights that were trained never do.
Storing them in 4 bits again loses almost nothing, and says nothing about the original weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from converters.gguf import read_header

_BLOCK: Final = 32
_LEVELS: Final = 16
_SAMPLED: Final = 64
_WHOLE: Final = {"F32": np.float32, "F16": np.float16}


def grid_share(model: Path) -> float:
    """Share of the matrix weights of a GGUF file, at 16 or 32 bits, that lie on a 4-bit grid.

    A few blocks of each matrix are looked at, spread over it.

    Raises:
        ModelFileError: it is no sound GGUF file.
    """
    header = read_header(model)
    on_grid, seen = 0, 0
    for tensor in header.tensors:
        if not tensor.matrix or tensor.type not in _WHOLE or tensor.columns % _BLOCK:
            continue
        values = np.memmap(
            model,
            _WHOLE[tensor.type],
            "r",
            header.data_start + tensor.offset,
            (tensor.weights // _BLOCK, _BLOCK),
        )
        rows = values[np.linspace(0, len(values) - 1, min(_SAMPLED, len(values)), dtype=int)]
        seen += tensor.weights
        if max(len(np.unique(row)) for row in rows) <= _LEVELS:
            on_grid += tensor.weights
    return on_grid / seen if seen else 0.0
