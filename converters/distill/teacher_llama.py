"""A GGUF teacher replies to prompts; a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is as :mod:`converters.distill.replies` writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import llama_cpp

from converters.distill.replies import Message, answer_all

_SPARE_TOKENS: Final = 8


def main(arguments: list[str]) -> int:
    job = json.loads(arguments[0])
    try:
        model = llama_cpp.Llama(
            model_path=job["teacher"],
            n_ctx=job["max_length"] + job["max_reply"] + _SPARE_TOKENS,
            n_threads=job["threads"],
            n_gpu_layers=-1,
            seed=job["seed"],
            verbose=False,
        )
    except (ValueError, OSError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1

    def reply(batch: Sequence[Sequence[Message]]) -> list[str]:
        return [_reply(model, messages, job["max_reply"]) for messages in batch]

    answer_all(Path(job["prompts"]), Path(job["replies"]), reply, batch=1)
    return 0


def _reply(model: llama_cpp.Llama, messages: Sequence[Message], max_reply: int) -> str:
    try:
        found: Any = model.create_chat_completion(
            messages=list(messages),  # type: ignore[arg-type]
            max_tokens=max_reply,
            temperature=0.0,
        )
    except ValueError:
        # The prompt is longer than the context; such a line is left out.
        return ""
    choice = found["choices"][0]
    # A reply that was cut off would teach to stop in the middle of a sentence.
    return "" if choice["finish_reason"] == "length" else str(choice["message"]["content"] or "")
