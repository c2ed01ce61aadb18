"""A GGUF file → a Hugging Face folder in 32 bits; a :mod:`step <converters.child>` given ``JOB``.

``JOB`` is a JSON object: ``file`` and ``out`` (an existing folder).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, logging

from converters.gguf_tokenizer import Unlike, read_tokenizer
from converters.llama_vocabulary import start_quietly

logging.set_verbosity_error()  # type: ignore[no-untyped-call]
logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def main(arguments: list[str]) -> int:
    job = json.loads(arguments[0])
    file, out = Path(job["file"]), Path(job["out"])
    where = {"gguf_file": file.name, "local_files_only": True}
    start_quietly()
    try:
        tokenizer = read_tokenizer(file)
    except Unlike as error:
        sys.stderr.write(f"{error}\n")
        return 1
    model: Any = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **where)
    # What was dequantised on reading is no longer quantised.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    marks = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model.config.update(marks)
    model.generation_config = GenerationConfig(**marks)  # type: ignore[no-untyped-call]
    model.save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)
    return 0
