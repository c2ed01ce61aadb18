"""Adapter and base → one model, shard by shard: never more than the largest shard in memory."""

from __future__ import annotations

import hashlib
import json
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
from converters.outputs import resumable_folder
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import require_space, sha256_of

TOLERANCE: Final = 1e-3
"""Largest difference of a logit between the merged model and the unmerged pair, in 32 bits."""

_ROUNDED: Final[Mapping[str, float]] = {"F32": 1.0, "F64": 1.0, "F16": 100.0, "BF16": 800.0}
"""By how much more weights of a type may differ: what their own rounding does to logits."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A Hugging Face folder; ``changed`` weights grew, of ``tensors`` in all.

    ``max_difference`` is the largest of any logit from the unmerged pair's, ``stored`` the type
    that the changed weights have.
    """

    path: Path
    changed: int
    tensors: int
    stored: str
    max_difference: float


def merge_adapter(
    base: Path, adapter: Path, out: Path, *, threads: int = 2, progress: Report = silent
) -> Merged:
    """Write ``base`` with ``adapter`` merged into it as the new folder ``out``.

    Weights keep their type, tied tables stay tied, tokenizer, chat template and settings come
    along. The result only counts when its logits are those of base and adapter side by side.

    Args:
        base: a GGUF file or a Hugging Face folder.
        adapter: what :func:`converters.lora.train_lora` or PEFT wrote.
        out: a folder that does not exist yet.
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
        require_space(folder, model_size(opened))
        for number, (path, part) in enumerate(shards):
            progress("merging", number / len(shards))
            _merge_shard(path, part, found, folder / path.name)
        _copy_rest(opened, folder)
        difference = _difference(opened, adapter, folder, threads, progress)
        if not difference <= TOLERANCE * _ROUNDED[stored]:
            raise ConversionError(
                f"Merging changed the model: logits differ by {difference:.3g} from base and "
                "adapter side by side."
            )
    count = sum(len(part) for _, part in shards)
    return Merged(out, len(found.pairs), count, stored, difference)


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
        rank, columns = adapter.tensors[low].shape
        rows, other = adapter.tensors[high].shape
        if (rows, columns) != info.shape or rank != other:
            raise ModelFileError(
                f"The adapter {adapter.path} is for another base: '{weight}' is "
                f"{info.shape[0]} by {info.shape[-1]} there, and {rows} by {columns} here."
            )
        if info.dtype not in _ROUNDED:
            raise ModelFileError(f"'{weight}' is stored as {info.dtype}, which cannot grow.")
        types.add(info.dtype)
    return max(types, key=lambda name: _ROUNDED[name])


def _merge_shard(path: Path, part: Mapping[str, TensorInfo], adapter: Adapter, out: Path) -> None:
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    merged: dict[str, torch.Tensor] = {}
    with safe_open(path, "pt") as shard, safe_open(adapter.weights, "pt") as small:
        for name in part:
            tensor = shard.get_tensor(name)
            if name in adapter.pairs:
                low, high = (small.get_tensor(side).float() for side in adapter.pairs[name])
                tensor = (tensor.float() + adapter.scale * (high @ low)).to(tensor.dtype)
            merged[name] = tensor
    save_file(merged, out, metadata={"format": "pt"})


def _copy_rest(base: Path, folder: Path) -> None:
    """Everything but weights, and the index that names their files."""
    for path in sorted(base.iterdir()):
        light = path.suffix in {".json", ".jinja", ".txt", ".model"} or path.name == INDEX
        if path.is_file() and light and not path.name.startswith("."):
            shutil.copyfile(path, folder / path.name)


def _difference(base: Path, adapter: Path, merged: Path, threads: int, progress: Report) -> float:
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
    return float(json.loads(told)["max_difference"])
