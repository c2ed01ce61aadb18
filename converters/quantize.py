"""A GGUF file or a Hugging Face folder → smaller GGUF through llama.cpp: whole or absent."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from converters.children import run_module
from converters.dataset import suggestion
from converters.errors import OptionError
from converters.gguf import TYPE_IDS, GgufHeader, bytes_per_weight, read_header
from converters.hf_to_gguf import convert_to_gguf
from converters.imatrix import load_importance
from converters.outputs import whole_file
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import sha256_of

QuantType = Literal["F32", "F16", "Q8_0", "Q4_K_M", "Q4_0"]

# llama.cpp's llama_ftype, and an upper bound of the bytes a weight takes: the widest type that a
# tensor falls back to when its rows do not divide into blocks.
_FTYPES: Final[Mapping[QuantType, tuple[int, float]]] = {
    "F32": (0, 4.0),
    "F16": (1, 2.0),
    "Q8_0": (7, 34 / 32),
    "Q4_K_M": (15, 34 / 32),
    "Q4_0": (2, 34 / 32),
}
KEPT_TYPES: Final = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q5_1", "Q5_0", "Q4_0")
"""What single tensors can be kept at."""

_HEAD: Final = "output.weight"
_K_BLOCK: Final = 256
_EMBEDDING: Final = "token_embd.weight"
_HEADER_SLACK: Final = 32 * 2**20
_ON_GRID: Final = 0.5
_FALLBACKS: Final = frozenset({"Q5_0", "Q5_1"})
_MAX_KEPT: Final = 1000
GRID_NOTE: Final = (
    "The weights come from a 4-bit file and lie on its grid: what this step costs here says "
    "nothing of what it would cost the original weights."
)


@dataclass(frozen=True, slots=True)
class Quantized:
    """What quantising made; sizes in bytes, ``tensor_types`` counts tensors by type.

    ``kept`` is what single tensors were asked to be, by name; ``importance`` the sha256 of the
    importance matrix, empty without one.
    """

    path: Path
    type: QuantType
    source_size: int
    size: int
    sha256: str
    bits_per_weight: float
    tensor_types: Mapping[str, int]
    notes: tuple[str, ...]
    kept: Mapping[str, str] = field(default_factory=dict)
    importance: str = ""


def quantize(
    source: Path,
    target: Path,
    kind: QuantType,
    *,
    importance: Path | None = None,
    keep: Mapping[str, str] | None = None,
    threads: int = 2,
    progress: Report = silent,
) -> Quantized:
    """Quantise ``source`` into ``target``.

    A killed or failed run leaves ``target`` as it was; Ctrl-C leaves nothing at all behind.

    Args:
        source: a GGUF file, or a Hugging Face folder, which is converted at 32 bits first.
        target: the file to write.
        kind: the format; llama.cpp keeps some tensors wider in the K formats by itself.
        importance: an importance matrix of the same model.
        keep: tensor names, ``*`` standing for anything, and the type to keep each at. The first
            name that fits a tensor counts; ``output.weight`` means the embeddings where the model
            uses them as its head.
        threads: of llama.cpp.
        progress: told how far it is.

    Raises:
        ModelFileError: the source is a pickle, no GGUF, damaged or cut short.
        OptionError: source and target are one file, another process writes the target, or ``keep``
            or ``importance`` do not fit the model.
        FetchError: the converter of folders is not here and cannot be fetched.
        ConversionError: llama.cpp or the converter failed or crashed.
        StorageError: the disk is full or cannot be written.
    """
    if not source.is_dir():
        return _quantize(source, target, kind, importance, keep or {}, threads, progress)
    if kind in ("F16", "F32") and not keep:
        convert_to_gguf(source, target, kind, progress=progress)
        size = sum(file.stat().st_size for file in source.glob("*.safetensors"))
        return _made(target, read_header(target), kind, size, ())
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as work:
        whole = Path(work) / "whole.gguf"
        convert_to_gguf(source, whole, "F32", progress=progress)
        return _quantize(whole, target, kind, importance, keep or {}, threads, progress)


def _quantize(
    source: Path,
    target: Path,
    kind: QuantType,
    importance: Path | None,
    keep: Mapping[str, str],
    threads: int,
    progress: Report,
) -> Quantized:
    header = read_header(source)
    if target.exists() and target.samefile(source):
        raise OptionError(f"{target} would overwrite the model it is made from.")
    kept = kept_types(header, keep)
    if importance is not None:
        _check_importance(importance, header)
    ftype, widest = _FTYPES[kind]
    needed = sum(
        tensor.weights * max(widest, bytes_per_weight(kept.get(tensor.name, "Q4_0")))
        for tensor in header.tensors
    )
    with whole_file(target, int(needed) + _HEADER_SLACK) as partial:
        job = {
            "source": str(source.resolve()),
            "target": str(partial.resolve()),
            "ftype": ftype,
            "threads": threads,
            "importance": str(importance.resolve()) if importance else None,
            "keep": {_pattern(name): TYPE_IDS[kind] for name, kind in kept.items()},
        }
        run_module(
            "converters.llama_quantize",
            [json.dumps(job)],
            step=f"quantising {source.name}",
            progress=progress,
        )
        made = read_header(partial)
    digest = sha256_of(importance) if importance else ""
    notes = _notes(header, made, kind, kept)
    return _made(target, made, kind, source.stat().st_size, notes, kept, digest)


def kept_types(header: GgufHeader, keep: Mapping[str, str]) -> dict[str, str]:
    """The type that each matrix of the model named by ``keep`` is kept at.

    Raises:
        OptionError: a type is unknown, or a name fits no tensor.
    """
    columns = {tensor.name: tensor.columns for tensor in header.tensors if tensor.matrix}
    names = list(columns)
    found: dict[str, str] = {}
    for wanted, kind in keep.items():
        if kind not in KEPT_TYPES:
            raise OptionError(
                f"A tensor cannot be kept at '{kind}'.", hint=suggestion(kind, KEPT_TYPES)
            )
        tied = wanted == _HEAD and _HEAD not in names
        fits = _glob(_EMBEDDING if tied else wanted)
        matched = [name for name in names if fits.fullmatch(name)]
        if not matched:
            raise OptionError(
                f"No matrix of the model is called '{wanted}'.", hint=suggestion(wanted, names)
            )
        for name in matched:
            if kind.endswith("_K") and columns[name] % _K_BLOCK:
                raise OptionError(
                    f"'{name}' has {columns[name]} columns, and {kind} needs a multiple of "
                    f"{_K_BLOCK}.",
                    hint="Keep it at Q8_0 or F16.",
                )
            found.setdefault(name, kind)
    return found


def parse_keep(given: Iterable[str]) -> dict[str, str]:
    """``TENSOR=TYPE`` texts, in order.

    Raises:
        OptionError: not of that form.
    """
    kept: dict[str, str] = {}
    for text in given:
        name, equals, kind = text.strip().rpartition("=")
        if not equals or not name or not kind or len(name) > 200:
            raise OptionError(
                f"'{text}' does not say which tensor to keep at which type.",
                hint='Write it as --keep "blk.*.attn_v.weight=Q8_0".',
            )
        kept.setdefault(name, kind.upper())
    if len(kept) > _MAX_KEPT:
        raise OptionError(f"More than {_MAX_KEPT} tensors are named one by one.")
    return kept


def _glob(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in name.split("*")))


def _pattern(name: str) -> str:
    """A tensor's name as llama.cpp takes it: the head and the embeddings as they are, others as a
    regular expression that it searches for."""
    return name if name in (_HEAD, _EMBEDDING) else f"^{re.escape(name)}$"


def _check_importance(path: Path, header: GgufHeader) -> None:
    columns = {tensor.name: tensor.columns for tensor in header.tensors}
    found = load_importance(path)
    fitting = [name for name, values in found.items() if columns.get(name) == values.size]
    if len(fitting) < len(found) or not found:
        raise OptionError(
            f"{path} is the importance matrix of another model.",
            hint="Collect it from this model with 'edge-convert importance'.",
        )


def _made(
    target: Path,
    header: GgufHeader,
    kind: QuantType,
    source_size: int,
    notes: tuple[str, ...],
    kept: Mapping[str, str] | None = None,
    importance: str = "",
) -> Quantized:
    size = target.stat().st_size
    return Quantized(
        path=target,
        type=kind,
        source_size=source_size,
        size=size,
        sha256=sha256_of(target),
        bits_per_weight=size * 8 / header.weights,
        tensor_types=header.tensor_types,
        notes=notes,
        kept=dict(kept or {}),
        importance=importance,
    )


def _notes(
    source: GgufHeader, made: GgufHeader, kind: QuantType, kept: Mapping[str, str]
) -> tuple[str, ...]:
    notes = []
    if source.four_bit_share > _ON_GRID:
        notes.append(GRID_NOTE)
    elif source.quantised:
        notes.append("The source was quantised already: judge the result against its original.")
    if kind == "Q4_K_M" and not _FALLBACKS.isdisjoint(made.tensor_types):
        notes.append(
            "Rows of this model do not all divide into blocks of 256: llama.cpp stored those "
            "tensors in more bits."
        )
    stored = {tensor.name: tensor.type for tensor in made.tensors}
    wider = [name for name, wanted in kept.items() if stored.get(name) != wanted]
    if wider:
        notes.append(
            f"{len(wider)} tensors could not be stored as asked, because their rows do not divide "
            f"into that type's blocks: {wider[0]} is {stored.get(wider[0])}."
        )
    return tuple(notes)
