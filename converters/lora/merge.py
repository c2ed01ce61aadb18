"""Adapter and base → one model, shard by shard: never more than the largest shard in memory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from converters.checkpoints import INDEX, TensorInfo, open_base, tensors
from converters.children import run_module
from converters.errors import ConversionError, ModelFileError
from converters.evaluate.engines import model_digest, model_size
from converters.lora.adapter import Adapter, check_base, read_adapter
from converters.lora.adapter_gguf import check_kind, export_adapter
from converters.outputs import resumable_folder
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import require_space, sha256_of

TOLERANCE: Final = 1e-3
"""Largest difference of a logit between the merged model and the unmerged pair, in 32 bits.

Weights stored in 16 bits cannot hold every sum, so that their logits differ by more. Merging counts
as exact when they are those of PEFT's own merge rounded to the same type.
"""

_TYPES: Final = ("F64", "F32", "F16", "BF16")
_OS_ERROR: Final = re.compile(r"os error (\d+)")


@dataclass(frozen=True, slots=True)
class Merged:
    """A Hugging Face folder; ``changed`` weights grew, of ``tensors`` in all.

    ``max_difference`` is the largest of any logit from the unmerged pair's, and
    ``beyond_rounding`` what of it the type of the changed weights, ``stored``, does not explain.
    """

    path: Path
    changed: int
    tensors: int
    stored: str
    max_difference: float
    beyond_rounding: float


def merge_adapter(
    base: Path,
    adapter: Path,
    out: Path,
    *,
    adapter_gguf: Path | None = None,
    threads: int = 2,
    progress: Report = silent,
) -> Merged:
    """Write ``base`` with ``adapter`` merged into it as the new folder ``out``.

    Weights keep their type, tied tables stay tied, tokenizer, chat template and settings come
    along. The result only counts when its logits are those of base and adapter side by side.

    Args:
        base: a GGUF file or a Hugging Face folder.
        adapter: what :func:`converters.lora.train_lora` or PEFT wrote.
        out: a folder that does not exist yet.
        adapter_gguf: where to write the adapter alone, for llama.cpp.
        threads: of the comparison.
        progress: told how far it is.

    Raises:
        ModelFileError: one of the two is unsafe or damaged, or they do not belong together.
        OptionError: ``out`` exists.
        ConversionError: the merged model is not the same.
        StorageError: the disk is full or cannot be written.
    """
    found = read_adapter(adapter)
    check_base(adapter, base)
    key = hashlib.sha256((model_digest(base) + sha256_of(found.weights)).encode()).hexdigest()
    with resumable_folder(out, key) as folder:
        opened = open_base(base, folder / ".base", progress=progress)
        shards = list(tensors(opened))
        stored = _fitting(found, [part for _, part in shards])
        if adapter_gguf is not None:
            check_kind(opened)
        require_space(folder, model_size(opened))
        for number, (path, part) in enumerate(shards):
            progress("merging", number / len(shards))
            _merge_shard(path, part, found, folder / path.name)
        _copy_rest(opened, folder)
        differences = _differences(opened, adapter, folder, threads, progress)
        # Written so that what is no number is refused too.
        if not differences["beyond_rounding"] <= TOLERANCE:
            raise ConversionError(
                f"Merging changed the model: logits differ by {differences['beyond_rounding']:.3g} "
                "from base and adapter side by side."
            )
        if adapter_gguf is not None:
            export_adapter(adapter, opened, adapter_gguf)
            if base.is_file():
                _check_loads(base, adapter_gguf, progress)
    count = sum(len(part) for _, part in shards)
    return Merged(out, len(found.pairs), count, stored, **differences)


def _fitting(adapter: Adapter, shards: list[Mapping[str, TensorInfo]]) -> str:
    """The type of the weights that grow.

    Raises:
        ModelFileError: a weight is not in the base or has another shape there.
    """
    everything = {name: info for part in shards for name, info in part.items()}
    types = set()
    for weight, (low, high) in adapter.pairs.items():
        info = everything.get(weight)
        if info is None:
            raise ModelFileError(
                f"The adapter {adapter.path} is for another base: there is no '{weight}'."
            )
        fitting = (adapter.tensors[high].shape[0], adapter.tensors[low].shape[1])
        if fitting != info.shape:
            raise ModelFileError(
                f"The adapter {adapter.path} is for another base: '{weight}' is "
                f"{_by(info.shape)} there, and {_by(fitting)} here."
            )
        if info.dtype not in _TYPES:
            raise ModelFileError(f"'{weight}' is stored as {info.dtype}, which cannot grow.")
        types.add(info.dtype)
    return max(types, key=_TYPES.index)


def _by(shape: tuple[int, ...]) -> str:
    return " by ".join(map(str, shape)) or "one number"


def _merge_shard(path: Path, part: Mapping[str, TensorInfo], adapter: Adapter, out: Path) -> None:
    import torch
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save_file

    merged: dict[str, torch.Tensor] = {}
    with safe_open(path, "pt") as shard, safe_open(adapter.weights, "pt") as small:
        for name in part:
            tensor = shard.get_tensor(name)
            if name in adapter.pairs:
                low, high = (small.get_tensor(side).float() for side in adapter.pairs[name])
                tensor = (tensor.float() + adapter.scale * (high @ low)).to(tensor.dtype)
            merged[name] = tensor
    try:
        save_file(merged, out, metadata={"format": "pt"})
    except SafetensorError as error:
        if (told := _OS_ERROR.search(str(error))) is None:
            raise
        raise OSError(int(told[1]), os.strerror(int(told[1]))) from error


def _copy_rest(base: Path, folder: Path) -> None:
    """Everything but weights, and the index that names their files."""
    for path in sorted(base.iterdir()):
        light = path.suffix in {".json", ".jinja", ".txt", ".model"} or path.name == INDEX
        if path.is_file() and light and not path.name.startswith("."):
            shutil.copyfile(path, folder / path.name)


def _differences(
    base: Path, adapter: Path, merged: Path, threads: int, progress: Report
) -> dict[str, float]:
    job: dict[str, Any] = {
        "base": str(base.resolve()),
        "adapter": str(adapter.resolve()),
        "merged": str(merged.resolve()),
        "threads": threads,
    }
    told = run_module(
        "converters.lora.compare_child",
        [json.dumps(job)],
        step="comparing logits",
        progress=progress,
    )
    found: dict[str, float] = json.loads(told)
    return found


def _check_loads(base: Path, adapter: Path, progress: Report) -> None:
    try:
        run_module(
            "converters.lora.load_child",
            [str(base.resolve()), str(adapter.resolve())],
            step="loading the adapter",
            progress=progress,
        )
    except ConversionError:
        adapter.unlink(missing_ok=True)
        raise
