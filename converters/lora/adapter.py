"""An adapter's folder: ``adapter_config.json`` and ``adapter_model.safetensors`` as PEFT writes
them, and ``base.json``, which says what model it belongs to."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from converters.checkpoints import TensorInfo, read_object, read_tensors
from converters.errors import ModelFileError
from converters.evaluate.engines import model_digest
from edge_runtime.files import write_atomic

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
_BASE: Final = "base.json"
_NONE: Final = "is no adapter", "Name the folder that 'edge-convert train' wrote."
_PICKLE: Final = "adapter_model.bin"
_UNSUPPORTED: Final = (
    *("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "lora_bias"),
    *("fan_in_fan_out", "layer_replication", "target_parameters", "trainable_token_indices"),
    *("use_qalora", "alora_invocation_tokens", "arrow_config"),
)
_NAME: Final = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight$")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A checked adapter: ``pairs`` maps a weight's name in the base to the names of A (rank, in)
    and B (out, rank); the weight grows by ``scale`` · B · A."""

    path: Path
    rank: int
    alpha: float
    scale: float
    pairs: Mapping[str, tuple[str, str]]
    tensors: Mapping[str, TensorInfo]

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS


def read_adapter(path: Path) -> Adapter:
    """The adapter in the folder ``path``.

    Raises:
        ModelFileError: it is no adapter, damaged, or of a kind that cannot be merged.
    """
    config = read_object(path / CONFIG, missing=_NONE)
    if config.get("peft_type") != "LORA":
        raise ModelFileError(f"{path} is no LoRA adapter.")
    for key in _UNSUPPORTED:
        if config.get(key):
            raise ModelFileError(
                f"{path} uses '{key}', which is not supported.", hint="Train a plain LoRA adapter."
            )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or rank < 1:
        raise ModelFileError(f"{path / CONFIG} states no rank and alpha.")
    if not math.isfinite(alpha):
        raise ModelFileError(f"{path / CONFIG} states an alpha that is no number.")
    if (path / _PICKLE).is_file() and not (path / WEIGHTS).is_file():
        raise ModelFileError(
            f"{path} holds its weights as {_PICKLE}, a pickle, which can run code when it is "
            "opened.",
            hint="Save the adapter with save_pretrained(folder, safe_serialization=True).",
        )
    tensors = read_tensors(path / WEIGHTS)
    sides: dict[str, dict[str, str]] = {}
    for name in tensors:
        found = _NAME.match(name)
        if found is None:
            raise ModelFileError(
                f"{path / WEIGHTS} holds '{name}', which is no part of LoRA.",
                hint="Save the adapter with bias='none' and save_embedding_layers=False.",
            )
        sides.setdefault(f"{found['module']}.weight", {})[found["side"]] = name
    if not sides or any(len(pair) < 2 for pair in sides.values()):
        raise ModelFileError(f"{path / WEIGHTS} is incomplete: a matrix lacks its other half.")
    for one in sides.values():
        low, high = tensors[one["A"]].shape, tensors[one["B"]].shape
        if len(low) != 2 or len(high) != 2 or low[0] != rank or high[1] != rank:
            raise ModelFileError(f"{path / WEIGHTS} holds matrices that are not of rank {rank}.")
    scale = alpha / rank**0.5 if config.get("use_rslora") else alpha / rank
    pairs = {weight: (pair["A"], pair["B"]) for weight, pair in sorted(sides.items())}
    return Adapter(path, rank, float(alpha), float(scale), pairs, tensors)


def note_base(path: Path, base: Path) -> None:
    """Write into the adapter's folder which model it was trained on."""
    content = json.dumps({"schema": 1, "base": model_digest(base)})
    write_atomic(path / _BASE, content.encode())


def check_base(path: Path, base: Path) -> None:
    """Refuse to put an adapter on another model than its own; one that names none may pass.

    Raises:
        ModelFileError: it is for another base.
    """
    if not (path / _BASE).exists():
        return
    wanted = read_object(path / _BASE, missing=_NONE).get("base")
    found = model_digest(base)
    if wanted != found:
        raise ModelFileError(
            f"The adapter {path} is for another base: it needs {str(wanted)[:12]}, and {base.name} "
            f"is {found[:12]}.",
            hint="Name the model that the adapter was trained on.",
        )
