"""llama.cpp as a :class:`converters.evaluate.scoring.Scorer`: one GGUF file."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from converters.child import Refused
from converters.evaluate.engines import gguf_files
from converters.evaluate.scoring import BLOCK, CONTEXT, Logits
from edge_runtime.errors import EngineError
from edge_runtime.generation.llama import attach_adapter
from edge_runtime.modelfiles import ADAPTER, GGUF


class LlamaScorer:
    """A GGUF model, its key-value cache as the runtime keeps it (16-bit floats).

    Raises:
        Refused: llama.cpp cannot load it.
    """

    def __init__(self, path: Path, threads: int) -> None:
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        files = gguf_files(path)
        params = llama_cpp.llama_model_default_params()
        weights = str(files[GGUF]).encode()
        self._model = llama_cpp.llama_model_load_from_file(weights, params)
        if not self._model:
            raise Refused(f"llama.cpp cannot load {path}.")
        self._context = llama_cpp.llama_init_from_model(self._model, self._params(threads))
        if not self._context:
            raise Refused(f"There is not enough memory to run {path}.")
        if ADAPTER in files:
            try:
                attach_adapter(self._model, self._context, files[ADAPTER])
            except EngineError as error:
                raise Refused(str(error)) from error
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(BLOCK, 0, 1)
        self.vocabulary = int(llama_cpp.llama_vocab_n_tokens(self._vocab))

    def _params(self, threads: int) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = CONTEXT
        params.n_batch = params.n_ubatch = BLOCK
        params.n_threads = params.n_threads_batch = threads
        return params

    def tokens(self, text: str) -> list[int]:
        return self._tokens(text, markup=False)

    def markup(self, text: str) -> list[int]:
        return self._tokens(text, markup=True)

    def _tokens(self, text: str, *, markup: bool) -> list[int]:
        data = text.encode()
        room = len(data) + 8
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, room, False, markup)
        if count < 0:
            raise Refused("The text cannot be split into tokens.")
        return list(buffer[:count])

    def forget(self) -> None:
        llama_cpp.llama_memory_clear(self._memory, True)

    def read(self, tokens: Sequence[int], start: int, *, all_rows: bool) -> Logits:
        self._decode(tokens, start, all_rows=all_rows)
        wanted = range(len(tokens)) if all_rows else [len(tokens) - 1]
        return np.stack(
            [
                np.ctypeslib.as_array(
                    llama_cpp.llama_get_logits_ith(self._context, index), shape=(self.vocabulary,)
                )
                for index in wanted
            ]
        )

    def _decode(self, tokens: Sequence[int], start: int, *, all_rows: bool) -> None:
        self._batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            self._batch.token[index] = token
            self._batch.pos[index] = start + index
            self._batch.n_seq_id[index] = 1
            self._batch.seq_id[index][0] = 0
            self._batch.logits[index] = all_rows or index == len(tokens) - 1
        if llama_cpp.llama_decode(self._context, self._batch) != 0:
            raise Refused("llama.cpp could not evaluate the text.")


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    """llama.cpp's own log says nothing that the result does not."""
