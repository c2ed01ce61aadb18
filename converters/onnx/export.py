"""A Hugging Face folder → an ONNX folder in 32 bits, through Optimum.

Decoders keep their key-value cache in inputs and outputs, and their optional input ``first_logit``
says from which position on logits are wanted; encoders give ``last_hidden_state``. The export is
held against the original before it counts as done.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from converters.children import run_module
from converters.errors import ConversionError
from converters.onnx.folder import OnnxFolder, read_folder, whole_folder
from converters.progress import Report, silent

TOLERANCE: Final = 1e-3
"""Largest difference of an output that an export may have, relative to the largest output."""

_WORK: Final = "converters.onnx.work"
_COPIES: Final = 2
_SLACK: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Exported:
    """What exporting made; ``max_difference`` is the largest of any logit (decoders) or hidden
    value (encoders) from the original's."""

    folder: OnnxFolder
    max_difference: float


def export_onnx(
    source: Path, target: Path, *, threads: int = 2, progress: Report = silent
) -> Exported:
    """Export the Hugging Face folder ``source`` into the new folder ``target``.

    Raises:
        ModelFileError: the source is no sound Hugging Face folder, or holds a pickle.
        OptionError: the target exists.
        ConversionError: Optimum failed, or the export differs from the original.
        StorageError: the disk is full or cannot be written.
    """
    with whole_folder(target, space_for(source)) as partial:
        found = export_into(source, partial, threads=threads, progress=progress)
    return Exported(read_folder(target), found)


def export_into(source: Path, folder: Path, *, threads: int, progress: Report) -> float:
    """Export into the existing ``folder``; returns the largest difference from the original.

    Raises:
        ModelFileError, ConversionError: as :func:`export_onnx`.
    """
    # Imported late: it brings the readers of checkpoints, which most commands never need.
    from converters.checkpoints import check_checkpoint

    check_checkpoint(source)
    found = work(
        {"do": "export", "source": str(source.resolve()), "target": str(folder.resolve())},
        threads=threads,
        step=f"exporting {source.name}",
        progress=progress,
    )
    difference, largest = float(found["max_difference"]), float(found["largest"])
    # Written so that a difference which is no number fails too.
    if not difference <= TOLERANCE * max(1.0, largest):
        raise ConversionError(
            f"The ONNX form of {source.name} is not the same model: outputs differ by "
            f"{difference:.3g}."
        )
    return difference


def work(job: dict[str, Any], *, threads: int, step: str, progress: Report) -> dict[str, Any]:
    """Run one job of :mod:`converters.onnx.work` in a process of its own."""
    text = json.dumps({**job, "threads": threads})
    found: dict[str, Any] = json.loads(run_module(_WORK, [text], step=step, progress=progress))
    return found


def space_for(source: Path) -> int:
    """Bytes that exporting may take for a moment: 16-bit weights double, and are written twice."""
    stored = sum(file.stat().st_size for file in source.glob("*.safetensors"))
    return 2 * _COPIES * stored + _SLACK
