"""Logits of a merged model against base and adapter side by side;
a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is a JSON object: ``base``, ``adapter``, ``merged`` (folders) and ``threads``. Prints
``{"max_difference", "beyond_rounding"}``: from the pair, and from PEFT's own merge rounded to the
types of the merged weights. One model is in memory at a time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel

from converters.checkpoints import tensors
from converters.lora.adapter import read_adapter
from converters.training import load_model, open_tokenizer

_TYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
_TEXTS: Final = (
    "Can I return the kettle within 14 days? I have the receipt.",
    "我上周买的外套不合适，能退吗？订单号 20261124。",
    "¿Cuándo abre la tienda? Mañana a las 10:30.",
    "The quick brown fox jumps over the lazy dog, 1,299.00 EUR.",
)


def main(arguments: list[str]) -> int:
    job = json.loads(arguments[0])
    torch.set_num_threads(job["threads"])
    tokenizer = open_tokenizer(job["base"])
    ids = [tokenizer(text, return_tensors="pt")["input_ids"] for text in _TEXTS]
    pair: Any = PeftModel.from_pretrained(load_model(job["base"]), job["adapter"])
    apart = _logits(pair, ids)
    types = _types(job)
    together = apart
    if not set(types.values()) <= {torch.float32, torch.float64}:
        together = _logits(_rounded(pair.merge_and_unload(), types), ids)
    del pair
    found = _logits(load_model(job["merged"]), ids)
    told = {
        "max_difference": _largest(apart, found),
        "beyond_rounding": _largest(together, found),
    }
    sys.stdout.write(json.dumps(told))
    return 0


def _types(job: dict[str, Any]) -> dict[str, torch.dtype]:
    """How each weight that grew is stored."""
    pairs = read_adapter(Path(job["adapter"])).pairs
    stored = {
        name: info.dtype for _, part in tensors(Path(job["merged"])) for name, info in part.items()
    }
    return {name: _TYPES[stored[name]] for name in pairs}


def _rounded(model: Any, types: dict[str, torch.dtype]) -> Any:
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, kind in types.items():
            weights[name].copy_(weights[name].to(kind))
    return model


def _largest(wanted: list[torch.Tensor], found: list[torch.Tensor]) -> float:
    apart = [(one - other).abs().max() for one, other in zip(wanted, found, strict=True)]
    # Unlike Python's, torch's maximum is no number as soon as one of them is none.
    return float(torch.stack(apart).max())


def _logits(model: Any, ids: list[torch.Tensor]) -> list[torch.Tensor]:
    model.eval()
    with torch.inference_mode():
        return [model(input_ids=one.to(model.device)).logits[0].float().cpu() for one in ids]
