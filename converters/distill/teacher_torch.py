"""A Hugging Face teacher replies to prompts; a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is as :mod:`converters.distill.replies` writes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from converters.distill.replies import Message, answer_all

_GPU_BATCH: Final = 32


def main(arguments: list[str]) -> int:
    job = json.loads(arguments[0])
    torch.set_num_threads(job["threads"])
    on_gpu = torch.cuda.is_available()
    tokenizer: Any = AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call]
        job["teacher"], local_files_only=True
    )
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model: Any = AutoModelForCausalLM.from_pretrained(
        job["teacher"],
        dtype=torch.bfloat16 if on_gpu else torch.float32,
        use_safetensors=True,
        local_files_only=True,
    )
    model.eval()
    if on_gpu:
        model.to("cuda")
    stops = model.generation_config.eos_token_id
    ends = set(stops if isinstance(stops, list) else [stops]) | {tokenizer.eos_token_id}
    greedy = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=job["max_reply"],
        do_sample=False,
        eos_token_id=[end for end in ends if end is not None],
        pad_token_id=tokenizer.pad_token_id,
    )

    def reply(batch: Sequence[Sequence[Message]]) -> list[str]:
        texts = [
            tokenizer.apply_chat_template(list(m), add_generation_prompt=True, tokenize=False)
            for m in batch
        ]
        lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
        fitting = [text for text, n in zip(texts, lengths, strict=True) if n <= job["max_length"]]
        replies = iter(complete(fitting) if fitting else [])
        return [next(replies) if n <= job["max_length"] else "" for n in lengths]

    def complete(texts: list[str]) -> list[str]:
        asked = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
        asked = asked.to(model.device)
        with torch.inference_mode():
            made = model.generate(
                input_ids=asked["input_ids"],
                attention_mask=asked["attention_mask"],
                generation_config=greedy,
            )
        tails = [tail.tolist() for tail in made[:, asked["input_ids"].shape[1] :]]
        # A reply that was cut off would teach to stop in the middle of a sentence.
        return [
            tokenizer.decode(tail, skip_special_tokens=True) if ends & set(tail) else ""
            for tail in tails
        ]

    batch = _GPU_BATCH if on_gpu else 1
    answer_all(Path(job["prompts"]), Path(job["replies"]), reply, batch=batch)
    return 0
