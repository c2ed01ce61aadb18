"""Lets a model reply; a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is a JSON object: ``model``, ``prompts`` (a file with a JSON list of system, context and
question), ``max_tokens``, ``threads``, ``exact``. The replies are a JSON list on standard output.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Final

from converters.child import answer, tell_progress
from converters.evaluate.engines import engine_of, gguf_files
from edge_runtime.generation import LanguageModel, Prompt

_CONTEXT: Final = 2048
_TIMEOUT_S: Final = 300.0


def open_model(path: Path, threads: int, *, exact: bool) -> LanguageModel:
    """The model behind the engine that its files ask for, as the runtime opens it.

    Raises:
        EngineError: the engine cannot load it.
        Refused: PyTorch cannot.
    """
    engine = engine_of(path)
    if engine == "llama":
        from converters.evaluate.llama_exact import ExactLlamaModel
        from edge_runtime.generation.llama import LlamaModel

        kind = ExactLlamaModel if exact else LlamaModel
        return kind(gguf_files(path), threads=threads, context=_CONTEXT)
    if engine == "onnx":
        from edge_runtime.generation.onnx import OnnxModel

        files = {file.name: file for file in path.iterdir() if file.is_file()}
        return OnnxModel(files, threads=threads, context=_CONTEXT)
    from converters.evaluate.torch_measure import TorchModel

    return TorchModel(path, threads=threads)


def reply_to_all(job: dict[str, Any]) -> list[str]:
    model = open_model(Path(job["model"]), job["threads"], exact=job["exact"])
    prompts = [Prompt(*parts) for parts in json.loads(Path(job["prompts"]).read_text("utf-8"))]
    replies = []
    for done, prompt in enumerate(prompts):
        tell_progress(done, len(prompts))
        pieces = model.stream(
            prompt,
            max_tokens=job["max_tokens"],
            timeout_s=_TIMEOUT_S,
            cancelled=threading.Event(),
        )
        replies.append("".join(pieces))
    return replies


def main(arguments: list[str]) -> int:
    return answer(reply_to_all, arguments)
