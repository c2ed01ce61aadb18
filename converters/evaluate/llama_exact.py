"""The runtime's llama.cpp model with nothing rounded between the tokens."""

from __future__ import annotations

from typing import Any

import llama_cpp

from edge_runtime.errors import EngineError
from edge_runtime.generation.llama import LlamaModel

_F32 = 0


class ExactLlamaModel(LlamaModel):
    """Keys and values are kept in 32 bits, and attention is computed step by step."""

    def _new_context(self, threads: int, context: int, kept: int) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = params.n_ubatch = 64
        params.n_seq_max = kept + 1
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        params.type_k = params.type_v = _F32
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        created = llama_cpp.llama_init_from_model(self._model, params)
        if created is None:
            raise EngineError(f"{self.name}: not enough memory for a context of {context} tokens.")
        return created
