"""An adapter alone as a GGUF file, for updates that are a hundredth of the model's size.

The layout is llama.cpp's: ``blk.N.attn_q.weight.lora_a`` (rank, in) and ``.lora_b`` (out, rank),
and ``adapter.lora.alpha``, which llama.cpp divides by the rank.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from converters.errors import ModelFileError
from converters.lora.adapter import Adapter, read_adapter
from converters.outputs import whole_file

_SLACK: Final = 2**20
_ARCHITECTURES: Final = ("llama", "qwen2", "qwen3", "gemma3_text", "mistral")
_ROTATED: Final = frozenset({"llama", "mistral"})
"""Kinds whose queries and keys llama.cpp stores with interleaved halves."""


def export_adapter(adapter: Path, base: Path, target: Path) -> Path:
    """Write the adapter as the GGUF file ``target``, complete or absent.

    Args:
        adapter: the adapter's folder.
        base: the Hugging Face folder it belongs to.
        target: the file to write.

    Raises:
        ModelFileError: the adapter is damaged, or its base is of a kind without this form.
        StorageError: the disk is full or cannot be written.
    """
    import gguf

    found = read_adapter(adapter)
    kind = check_kind(base)
    config = json.loads((base / "config.json").read_bytes())
    architecture = {"gemma3_text": "gemma3", "mistral": "llama"}.get(kind, kind)
    names = gguf.get_tensor_name_map(_architecture(gguf, architecture), config["num_hidden_layers"])
    with whole_file(target, found.weights.stat().st_size * 2 + _SLACK) as partial:
        writer = gguf.GGUFWriter(str(partial), architecture)
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", found.scale * found.rank)
        for name, values in _tensors(found, names, config, rotated=kind in _ROTATED):
            writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return target


def check_kind(base: Path) -> str:
    """The kind of the model in ``base``, whose adapters have a GGUF form.

    Raises:
        ModelFileError: they have none.
    """
    kind = str(json.loads((base / "config.json").read_bytes()).get("model_type"))
    if kind not in _ARCHITECTURES:
        raise ModelFileError(f"Adapters of models of the kind {kind} have no GGUF form here.")
    return kind


def _architecture(gguf: Any, name: str) -> Any:
    return next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == name)


def _tensors(
    adapter: Adapter, names: Any, config: dict[str, Any], *, rotated: bool
) -> list[tuple[str, npt.NDArray[np.float32]]]:
    from safetensors import safe_open

    made: list[tuple[str, npt.NDArray[np.float32]]] = []
    with safe_open(adapter.weights, "pt") as stored:
        for weight, (low, high) in adapter.pairs.items():
            name = names.get_name(weight.removesuffix(".weight"))
            if name is None:
                raise ModelFileError(f"llama.cpp has no name for '{weight}'.")
            outer = stored.get_tensor(high).float().numpy()
            if rotated:
                outer = _interleaved(weight, outer, config)
            made.append((f"{name}.weight.lora_a", stored.get_tensor(low).float().numpy()))
            made.append((f"{name}.weight.lora_b", outer))
    return made


def _interleaved(
    weight: str, outer: npt.NDArray[np.float32], config: dict[str, Any]
) -> npt.NDArray[np.float32]:
    """Rows in the order in which llama.cpp keeps the queries and keys of this kind of model."""
    heads = config["num_attention_heads"]
    if ".k_proj." in weight:
        heads = config.get("num_key_value_heads") or heads
    elif ".q_proj." not in weight:
        return outer
    rows = outer.reshape(heads, 2, len(outer) // heads // 2, -1).swapaxes(1, 2)
    return np.ascontiguousarray(rows.reshape(outer.shape))
