"""GGUF → smaller GGUF through llama.cpp, safely: the output is whole or absent."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from converters.children import run_module
from converters.errors import OptionError
from converters.gguf import GgufHeader, read_header
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import require_space, sha256_of
from edge_runtime.errors import StorageError
from edge_runtime.files import sync_folder

QuantType = Literal["F16", "Q8_0", "Q4_K_M", "Q4_0"]

# llama.cpp's llama_ftype, and an upper bound of the bytes a weight takes: the widest type that a
# tensor falls back to when its rows do not divide into blocks.
_FTYPES: Final[Mapping[QuantType, tuple[int, float]]] = {
    "F16": (1, 2.0),
    "Q8_0": (7, 34 / 32),
    "Q4_K_M": (15, 34 / 32),
    "Q4_0": (2, 26 / 32),
}
_HEADER_SLACK: Final = 32 * 2**20
_ON_GRID: Final = 0.5
_FALLBACKS: Final = frozenset({"Q5_0", "Q5_1"})
_GRID_NOTE: Final = (
    "The weights come from a 4-bit file and lie on its grid: what this step costs here says "
    "nothing of what it would cost the original weights."
)


@dataclass(frozen=True, slots=True)
class Quantized:
    """What quantising made; sizes in bytes, ``tensor_types`` counts tensors by type."""

    path: Path
    type: QuantType
    source_size: int
    size: int
    sha256: str
    bits_per_weight: float
    tensor_types: Mapping[str, int]
    notes: tuple[str, ...]


def quantize(
    source: Path,
    target: Path,
    kind: QuantType,
    *,
    threads: int = 2,
    progress: Report = silent,
) -> Quantized:
    """Quantise ``source`` into ``target``.

    A killed or failed run leaves ``target`` as it was; Ctrl-C leaves nothing at all behind.

    Raises:
        ModelFileError: the source is a pickle, no GGUF, damaged or cut short.
        OptionError: source and target are one file, or another process writes the target.
        ConversionError: llama.cpp failed or crashed.
        StorageError: the disk is full or cannot be written.
    """
    header = read_header(source)
    if target.exists() and target.samefile(source):
        raise OptionError(f"{target} would overwrite the model it is made from.")
    ftype, bytes_per_weight = _FTYPES[kind]
    with _output(target, int(header.weights * bytes_per_weight) + _HEADER_SLACK) as partial:
        run_module(
            "converters.llama_quantize",
            [str(source.resolve()), str(partial.resolve()), str(ftype), str(threads)],
            step=f"quantising {source.name}",
            progress=progress,
        )
        made = read_header(partial)
        size, digest = partial.stat().st_size, sha256_of(partial)
    return Quantized(
        path=target,
        type=kind,
        source_size=source.stat().st_size,
        size=size,
        sha256=digest,
        bits_per_weight=size * 8 / made.weights,
        tensor_types=made.tensor_types,
        notes=_notes(header, made, kind),
    )


def _notes(source: GgufHeader, made: GgufHeader, kind: QuantType) -> tuple[str, ...]:
    notes = []
    if source.four_bit_share > _ON_GRID:
        notes.append(_GRID_NOTE)
    elif source.quantised:
        notes.append("The source was quantised already: judge the result against its original.")
    if kind == "Q4_K_M" and not _FALLBACKS.isdisjoint(made.tensor_types):
        notes.append(
            "Rows of this model do not all divide into blocks of 256: llama.cpp stored those "
            "tensors in more bits."
        )
    return tuple(notes)


@contextlib.contextmanager
def _output(target: Path, needed: int) -> Iterator[Path]:
    """A file beside ``target`` that replaces it, synced, when the block ends well."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        require_space(target.parent, needed)
        with partial.open("ab") as lock:
            _lock(lock.fileno(), target)
            try:
                yield partial
                with partial.open("rb") as done:
                    os.fsync(done.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        sync_folder(target.parent)
    except StorageError as error:
        hint = "Free some space, or write to another folder."
        raise StorageError(error.message, hint=hint) from error
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}.") from error


def _lock(descriptor: int, target: Path) -> None:
    # The name is always the same, so that what a killed run left is overwritten by the next.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OptionError(f"Another process is writing {target}.") from None
