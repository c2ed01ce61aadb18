"""Importance of every weight column, from what the model sees in the domain's own text.

The importance of a column is the mean square of what it is multiplied with; quantising then spends
its rounding error where it is multiplied with little (llama.cpp's "importance matrix"). Kept as a
safetensors file: a float32 vector for each quantisable tensor, by its name in the GGUF file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from converters.children import run_module
from converters.errors import ModelFileError, OptionError
from converters.gguf import read_header
from converters.outputs import whole_file
from converters.progress import Report, silent
from converters.texts import check_text
from edge_runtime.bundles.blobs import sha256_of

Columns = npt.NDArray[np.float32]

KIND: Final = "edge-runtime importance"
"""What a file of this kind calls itself in its metadata."""


_MAX_BYTES: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Importance:
    """An importance matrix on disk: how many tensors it covers and tokens it comes from."""

    path: Path
    tensors: int
    tokens: int
    sha256: str
    text_sha256: str


def collect_importance(
    model: Path,
    text: Path,
    target: Path,
    *,
    max_tokens: int = 16_384,
    threads: int = 2,
    progress: Report = silent,
) -> Importance:
    """Run ``model`` (an unquantised GGUF file) over ``text`` and write what was seen to ``target``.

    Args:
        model: the model that will be quantised, at 16 or 32 bits.
        text: UTF-8 text of the domain, never what the result will be judged on.
        target: the file to write; complete or absent.
        max_tokens: of the text that are read, in windows of 512.
        threads: of llama.cpp.
        progress: told how far it is.

    Raises:
        ModelFileError: the model is no sound GGUF file.
        OptionError: the model is quantised already.
        DatasetError: the text is missing, empty, too long or not UTF-8.
        ConversionError: llama.cpp failed.
        StorageError: the target cannot be written.
    """
    header = read_header(model)
    if header.quantised:
        raise OptionError(
            f"{model} is quantised already; its importance matrix would describe its errors.",
            hint="Collect it from the F16 or F32 file.",
        )
    check_text(text)
    job = {
        "model": str(model.resolve()),
        "text": str(text.resolve()),
        "max_tokens": max_tokens,
        "threads": threads,
    }
    with whole_file(target, _MAX_BYTES) as partial:
        told = run_module(
            "converters.imatrix_collect",
            [json.dumps({**job, "target": str(partial.resolve())})],
            step=f"watching {model.name}",
            progress=progress,
        )
    found = json.loads(told)
    return Importance(target, found["tensors"], found["tokens"], sha256_of(target), sha256_of(text))


def load_importance(path: Path) -> Mapping[str, Columns]:
    """Mean squares by tensor name.

    Raises:
        ModelFileError: missing, or not what :func:`collect_importance` writes.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelFileError(f"{path} is too large for an importance matrix.")
        with safe_open(path, framework="numpy") as stored:
            if (stored.metadata() or {}).get("kind") != KIND:
                raise ModelFileError(f"{path} is not an importance matrix.")
            found = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise ModelFileError(
            f"{path} is not an importance matrix.",
            hint="Make one with 'edge-convert importance'.",
        ) from error
    for name, columns in found.items():
        if columns.dtype != np.float32 or columns.ndim != 1 or not np.isfinite(columns).all():
            raise ModelFileError(f"{path} is damaged: '{name}' is no vector of numbers.")
    return found
