"""What a language model replies when the runtime asks it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from converters.children import run_module
from converters.evaluate.questions import Question
from converters.progress import Report, silent

MAX_REPLY_TOKENS: Final = 96


def replies_of(
    model: Path,
    questions: Sequence[Question],
    *,
    max_tokens: int = MAX_REPLY_TOKENS,
    exact: bool = False,
    threads: int = 2,
    progress: Report = silent,
) -> tuple[str, ...]:
    """The reply to each question, generated as on a device, in a process of its own.

    Args:
        model: a GGUF file, a folder with ``model.onnx``, or a Hugging Face folder.
        questions: with their facts.
        max_tokens: after which a reply is cut off.
        exact: llama.cpp keeps its key-value cache in 32 instead of 16 bits.
        threads: of the engine.
        progress: told how far it is.

    Raises:
        ConversionError: the engine cannot load or run it.
    """
    with tempfile.TemporaryDirectory() as work:
        asked = Path(work) / "prompts.json"
        prompts = [(q.prompt.system, q.prompt.context, q.prompt.question) for q in questions]
        asked.write_text(json.dumps(prompts), "utf-8")
        job = {
            "model": str(model.resolve()),
            "prompts": str(asked),
            "max_tokens": max_tokens,
            "exact": exact,
            "threads": threads,
        }
        told = run_module(
            "converters.evaluate.replies_child",
            [json.dumps(job)],
            step=f"asking {model.name}",
            progress=progress,
        )
    return tuple(json.loads(told))
