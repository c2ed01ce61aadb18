"""Logits of a merged model against base and adapter side by side;
``python -m converters.lora.compare_child JOB``.

``JOB`` is a JSON object: ``base``, ``adapter``, ``merged`` (folders) and ``threads``. Prints
``{"max_difference"}``. One model is in memory at a time.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import torch
from peft import PeftModel

from converters.training import load_model, open_tokenizer

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
    wanted = _logits(pair, ids)
    del pair
    found = _logits(load_model(job["merged"]), ids)
    largest = max(
        float((one - other).abs().max()) for one, other in zip(wanted, found, strict=True)
    )
    sys.stdout.write(json.dumps({"max_difference": largest}))
    return 0


def _logits(model: Any, ids: list[torch.Tensor]) -> list[torch.Tensor]:
    model.eval()
    with torch.inference_mode():
        return [model(input_ids=one.to(model.device)).logits[0].float().cpu() for one in ids]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
