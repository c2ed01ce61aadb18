"""Hugging Face folders: what is safe and whole, and GGUF files turned into such folders.

Weights are read from safetensors only, whose headers are held against the files' sizes here before
any library opens them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from converters.children import run_module
from converters.errors import ModelFileError
from converters.gguf import read_header
from converters.outputs import resumable_folder
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import require_space, sha256_of

INDEX: Final = "model.safetensors.index.json"
WHOLE: Final = "model.safetensors"
USUAL_KINDS: Final = frozenset({"llama", "qwen2", "qwen3", "gemma3_text", "mistral"})
"""Known to transformers without asking it, which takes three seconds and torch's memory."""
_CONFIG: Final = "config.json"
_PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_TOKENIZERS: Final = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_MAX_JSON: Final = 64 * 2**20
_NO_MODEL: Final = (
    "is no Hugging Face folder",
    "Name the folder that holds config.json, or a GGUF file.",
)
_MAX_HEADER: Final = 100 * 2**20
_SLACK: Final = 64 * 2**20
_REMEDY: Final = "Save the model with save_pretrained(folder, safe_serialization=True)."
_BYTES: Final[Mapping[str, int]] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "U32": 4, "U64": 8,
}  # fmt: skip


class TensorInfo(BaseModel):
    """A tensor as a safetensors header states it; ``data_offsets`` count from the header's end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    shape: tuple[int, ...] = Field(max_length=8)
    data_offsets: tuple[int, int]


def check_checkpoint(folder: Path) -> None:
    """Hold ``folder`` against what a checkpoint has to be.

    Raises:
        ModelFileError: something is missing, cut short, damaged, or could run code when opened.
    """
    if not folder.is_dir():
        raise ModelFileError(
            f"{folder} is no Hugging Face folder.",
            hint="Name the folder that holds config.json, or a GGUF file.",
        )
    config = read_object(folder / _CONFIG, missing=_NO_MODEL)
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise ModelFileError(f"{folder / _CONFIG} does not say what kind of model it is.")
    if "auto_map" in config:
        raise ModelFileError(
            f"{folder} brings its own program code, which is never run.",
            hint="Use a model of a kind that transformers knows by itself.",
        )
    if kind not in USUAL_KINDS:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

        if kind not in CONFIG_MAPPING_NAMES:
            raise ModelFileError(
                f"{folder} is of a kind that transformers does not know: '{kind}'."
            )
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ModelFileError(f"{folder} has no tokenizer.", hint=f"Add {_TOKENIZERS[0]}.")
    for _ in tensors(folder):
        """Reading each header checks it."""


def tensors(folder: Path) -> Iterator[tuple[Path, Mapping[str, TensorInfo]]]:
    """Each shard of ``folder`` with its tensors, every header checked.

    Raises:
        ModelFileError: there are no safetensors, or a shard is missing or not sound.
    """
    for path, wanted in shards(folder).items():
        found = read_tensors(path)
        missing = wanted - found.keys()
        if missing:
            raise ModelFileError(f"{path} lacks '{min(missing)}', which {INDEX} promises.")
        yield path, found


def shards(folder: Path) -> Mapping[Path, frozenset[str]]:
    """The weight files of ``folder``, and which tensors the index promises in each.

    Raises:
        ModelFileError: there are none, or the index is not sound.
    """
    if (folder / INDEX).is_file():
        if (folder / WHOLE).is_file():
            raise ModelFileError(
                f"{folder} holds both {WHOLE} and {INDEX}, and only one can be meant.",
                hint="Remove what is left over from an earlier save.",
            )
        listed = read_object(folder / INDEX, missing=_NO_MODEL).get("weight_map")
        if not isinstance(listed, dict) or not listed:
            raise ModelFileError(f"{folder / INDEX} lists no weights.")
        by_file: dict[Path, set[str]] = {}
        for name, file in listed.items():
            if not isinstance(file, str) or Path(file).name != file:
                raise ModelFileError(f"{folder / INDEX} names a file outside its folder.")
            by_file.setdefault(folder / file, set()).add(name)
        return {path: frozenset(names) for path, names in sorted(by_file.items())}
    if (folder / WHOLE).is_file():
        return {folder / WHOLE: frozenset()}
    pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
    if pickles:
        raise ModelFileError(
            f"{folder} holds its weights as {min(pickles)}, a pickle, which can run code when "
            "it is opened.",
            hint=_REMEDY,
        )
    raise ModelFileError(f"{folder} holds no weights: it has no {WHOLE}.", hint=_REMEDY)


def read_object(path: Path, *, missing: tuple[str, str]) -> dict[str, Any]:
    """The JSON object in a file of a model.

    Args:
        missing: what the folder is where it has no such file, and what to do about that.

    Raises:
        ModelFileError: it is missing, too large, or not a JSON object.
    """
    try:
        if path.stat().st_size > _MAX_JSON:
            raise ModelFileError(f"{path} is larger than any such file.")
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        what, hint = missing
        raise ModelFileError(f"{path.parent} {what}: it has no {path.name}.", hint=hint) from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not JSON.") from error
    if not isinstance(found, dict):
        raise ModelFileError(f"{path} is not a JSON object.")
    return found


def read_tensors(path: Path) -> Mapping[str, TensorInfo]:
    """The header of a safetensors file, held against the file's size.

    Raises:
        ModelFileError: the file is missing, cut short or not of this format.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise ModelFileError(f"{path} is no safetensors file, or its start is damaged.")
            header = json.loads(file.read(length))
    except FileNotFoundError as error:
        raise ModelFileError(f"{path} is missing.", hint="Copy the folder again.") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is no safetensors file, or its start is damaged.") from error
    if not isinstance(header, dict):
        raise ModelFileError(f"{path} is no safetensors file, or its start is damaged.")
    header.pop("__metadata__", None)
    try:
        found = {name: TensorInfo.model_validate(value) for name, value in header.items()}
    except ValidationError as error:
        raise ModelFileError(f"{path} describes a tensor that cannot be.") from error
    _check_sizes(path, found, size - 8 - length)
    return found


def open_base(path: Path, folder: Path, *, progress: Report = silent) -> Path:
    """A Hugging Face folder with the model at ``path``: itself if it is one, else ``folder``,
    into which a GGUF file is dequantised once.

    Raises:
        ModelFileError: it is neither, or not sound.
        ConversionError: transformers cannot read this kind of GGUF file.
        StorageError: the disk is full or cannot be written.
    """
    if path.is_dir() or not path.exists():
        check_checkpoint(path)
        return path
    header = read_header(path)
    if folder.is_dir():
        check_checkpoint(folder)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    require_space(folder.parent, 4 * header.weights + _SLACK)
    with resumable_folder(folder, sha256_of(path)) as partial:
        job = {"file": str(path.resolve()), "out": str(partial.resolve())}
        run_module(
            "converters.dequantize_child",
            [json.dumps(job)],
            step=f"reading {path.name} ({header.architecture})",
            progress=progress,
        )
    check_checkpoint(folder)
    return folder


def _check_sizes(path: Path, found: Mapping[str, TensorInfo], size: int) -> None:
    end = 0
    for name, info in sorted(found.items(), key=lambda item: item[1].data_offsets):
        start, stop = info.data_offsets
        count = 1
        for extent in info.shape:
            count *= extent
        width = _BYTES.get(info.dtype)
        if width is None or min(info.shape, default=1) < 0 or stop - start != count * width:
            raise ModelFileError(f"{path} describes '{name}' wrongly.")
        if start != end:
            raise ModelFileError(f"{path} has tensors that overlap or leave gaps.")
        end = stop
    if end != size:
        what = "cut short" if end > size else "longer than it should be"
        raise ModelFileError(f"{path} is {what}.", hint="Copy or download it again.")
