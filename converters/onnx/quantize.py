"""A Hugging Face or fp32 ONNX folder → a smaller ONNX folder, for decoders and encoders.

Whatever the type, embeddings and head are 8-bit blocks in one table where they are tied.

- ``onnx-fp32``: exported only.
- ``onnx-int8``: products with 8-bit channels, activations quantised as they come (dynamic).
- ``onnx-int8-static``: the same with ranges of activations measured on domain text (QDQ).
- ``onnx-int8-block``: products as 8-bit blocks (``MatMulNBits``), activations by blocks too.
- ``onnx-int4``: products as 4-bit blocks, scales weighted by what the columns meet in domain text
  where there is one; products that make keys and values, or those asked for, kept at 8 bits: they
  are small where several heads share them, and cost most.

Products of a gated feed-forward layer have activations so uneven that one scale for a whole row
ruins them; the two INT8 types by channels keep these in 8-bit blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from converters.errors import OptionError
from converters.onnx.export import export_into, export_onnx, space_for, work
from converters.onnx.folder import MODEL, OnnxFolder, copy_companions, read_folder, whole_folder
from converters.progress import Report, silent
from converters.texts import check_text

OnnxType = Literal["onnx-fp32", "onnx-int8", "onnx-int8-static", "onnx-int8-block", "onnx-int4"]
ONNX_TYPES: Final[tuple[OnnxType, ...]] = get_args(OnnxType)

KEPT: Final = ("k_proj", "v_proj")

_SCRATCH: Final = "scratch"
_SLACK: Final = 64 * 2**20
_MAX_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class QuantizedOnnx:
    """What quantising made; sizes in bytes of whole folders, ``products`` counts products with
    stored matrices by operator (``QuantizeLinear`` counts activations that are quantised for one),
    ``max_difference`` is the export's where there was one."""

    folder: OnnxFolder
    type: OnnxType
    source_size: int
    bits_per_weight: float
    products: Mapping[str, int]
    max_difference: float | None


def quantize_onnx(
    source: Path,
    target: Path,
    kind: OnnxType,
    *,
    text: Path | None = None,
    keep: Sequence[str] | None = None,
    threads: int = 2,
    progress: Report = silent,
) -> QuantizedOnnx:
    """Quantise ``source`` into the new folder ``target``.

    Args:
        source: a Hugging Face folder, or an ONNX folder in 32 bits.
        target: a folder that does not exist yet.
        kind: what to make.
        text: domain text to measure activations on; ``onnx-int8-static`` needs it, ``onnx-int4``
            is better with it.
        keep: for ``onnx-int4``, parts of the names of products that stay at 8 bits;
            :data:`KEPT` when not given.
        threads: processor threads.
        progress: told how far it is.

    Raises:
        ModelFileError: the source is neither, damaged, a pickle, or quantised already.
        OptionError: the target exists, or the options do not fit the type.
        DatasetError: the text is missing, empty or not UTF-8.
        ConversionError: exporting or quantising failed.
        StorageError: the disk is full or cannot be written.
    """
    _check_options(kind, text, keep)
    if kind == "onnx-fp32":
        exported = export_onnx(source, target, threads=threads, progress=progress)
        size = _stored(source)
        return _result(exported.folder, kind, size, exported.folder, exported.max_difference)
    with (
        whole_folder(target, _space(source)) as partial,
        _as_onnx(source, partial, threads, progress) as (given, difference),
    ):
        _refuse_quantised(given)
        work(
            {
                "do": "quantize",
                "source": str(given.path.resolve()),
                "target": str(partial.resolve()),
                "kind": kind,
                "text": str(text.resolve()) if text else None,
                "keep": list(KEPT if keep is None else keep),
            },
            threads=threads,
            step=f"quantising {source.name}",
            progress=progress,
        )
        copy_companions(given.path, partial)
    return _result(read_folder(target), kind, given.size, given, difference)


def _check_options(kind: OnnxType, text: Path | None, keep: Sequence[str] | None) -> None:
    if kind == "onnx-int8-static" and text is None:
        raise OptionError(
            f"{kind} measures activations on text, and there is none.",
            hint="Give a file of domain text with --text.",
        )
    if text is not None:
        check_text(text)
    if keep and kind != "onnx-int4":
        raise OptionError(f"{kind} stores all products alike: nothing can be kept.")
    if keep and (len(keep) > _MAX_KEPT or not all(keep)):
        raise OptionError(f"At most {_MAX_KEPT} names, none empty, can be kept at 8 bits.")


@contextlib.contextmanager
def _as_onnx(
    source: Path, partial: Path, threads: int, progress: Report
) -> Iterator[tuple[OnnxFolder, float | None]]:
    """``source`` as an ONNX folder, exported into scratch space where it is none yet."""
    if (source / MODEL).is_file():
        yield read_folder(source), None
        return
    exported = partial / _SCRATCH
    exported.mkdir()
    difference = export_into(source, exported, threads=threads, progress=progress)
    yield read_folder(exported), difference


def _refuse_quantised(given: OnnxFolder) -> None:
    if given.quantised:
        raise OptionError(
            f"{given.path} is quantised already.", hint="Quantise the model it was made from."
        )


def _space(source: Path) -> int:
    """An export, and the quantisers' own copies, are each at most as large as 32-bit weights."""
    return space_for(source) + 3 * _stored(source) + _SLACK


def _stored(source: Path) -> int:
    try:
        return sum(file.stat().st_size for file in source.iterdir() if file.is_file())
    except OSError:
        # Whoever reads the source says what is wrong with it.
        return 0


def _result(
    made: OnnxFolder,
    kind: OnnxType,
    source_size: int,
    source: OnnxFolder,
    difference: float | None,
) -> QuantizedOnnx:
    stored = ("MatMulNBits", "MatMulInteger", "QuantizeLinear")
    products = {name: made.operators[name] for name in stored if name in made.operators}
    products = products or {"MatMul": made.operators.get("MatMul", 0)}
    bits = made.size * 8 / max(1, source.weights)
    return QuantizedOnnx(made, kind, source_size, bits, products, difference)
