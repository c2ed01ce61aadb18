"""Loads a GGUF model with an adapter; a :mod:`step <converters.child>` given the two paths."""

from __future__ import annotations

import sys

import llama_cpp

from converters.llama_vocabulary import start_quietly


def main(arguments: list[str]) -> int:
    base, adapter = (path.encode() for path in arguments)
    start_quietly()
    model = llama_cpp.llama_model_load_from_file(base, llama_cpp.llama_model_default_params())
    if not model:
        sys.stderr.write("llama.cpp cannot load the base.\n")
        return 1
    fits = llama_cpp.llama_adapter_lora_init(model, adapter)
    llama_cpp.llama_model_free(model)
    if not fits:
        sys.stderr.write("llama.cpp cannot put the adapter on its base.\n")
        return 1
    return 0
