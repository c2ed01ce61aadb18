"""llama.cpp: GGUF models with the prefixes of earlier prompts kept in the KV cache.

One unified KV cache holds several sequences. The system part and each recent context live in
sequences of their own that share cells; a new question is decoded in a scratch sequence copied
from the longest kept prefix, which costs nothing (``llama_memory_seq_cp`` only tags cells).
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp

from edge_runtime.errors import EngineError
from edge_runtime.generation.base import Prompt, smoke_test
from edge_runtime.generation.chatml import (
    ANSWER,
    BATCH,
    END,
    REPEAT_LAST_N,
    REPEAT_PENALTY,
    SYSTEM,
    USER,
)
from edge_runtime.modelfiles import ADAPTER, GGUF

_SCRATCH = 0


class LlamaModel:
    """A chat model in ChatML form (Qwen2.5, SmolLM2).

    Args:
        files: the model's files; ``model.gguf`` is read, memory-mapped, and ``adapter.gguf``, a
            LoRA adapter for it, where there is one.
        threads: CPU threads.
        context: KV cache size in tokens, shared by all kept prefixes and the running turn.
        kept: how many contexts stay cached at most.

    Raises:
        EngineError: llama.cpp refuses a file.
    """

    def __init__(
        self, files: Mapping[str, Path], *, threads: int, context: int = 2048, kept: int = 8
    ) -> None:
        self.name = files[GGUF].parent.name
        self._lock = threading.Lock()
        self._context_size = context
        self._closed = False
        try:
            self._llama = llama_cpp.Llama(
                model_path=str(files[GGUF]),
                n_ctx=64,
                n_batch=32,
                n_threads=threads,
                verbose=False,
                vocab_only=False,
            )
        except (ValueError, OSError, RuntimeError) as error:
            raise EngineError(
                f"The language model {files[GGUF].name} cannot be loaded: {error}.",
                hint="Run 'edge-runtime models verify' and 'edge-runtime doctor'.",
            ) from error
        self._model = self._llama._model.model
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._ctx = self._new_context(threads, context, kept)
        if ADAPTER in files:
            attach_adapter(self._model, self._ctx, files[ADAPTER])
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self._sampler = _new_sampler(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self._free = list(range(1, kept + 1))
        self._prefixes: OrderedDict[tuple[int, ...], int] = OrderedDict()
        self._stop = self._markup(END)[0]

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            llama_cpp.llama_sampler_free(self._sampler)
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._ctx)
            self._llama.close()

    def smoke(self) -> None:
        smoke_test(self)

    def warm(self, prompt: Prompt) -> None:
        with self._lock:
            self._keep_prefixes(prompt, deadline=time.monotonic() + 30, cancelled=threading.Event())
            llama_cpp.llama_memory_seq_rm(self._memory, _SCRATCH, -1, -1)

    def stream(
        self,
        prompt: Prompt,
        *,
        max_tokens: int,
        timeout_s: float,
        cancelled: threading.Event,
    ) -> Iterator[str]:
        deadline = time.monotonic() + timeout_s
        if self._closed:
            raise EngineError(f"The language model {self.name} was unloaded.")
        with (
            self._lock,
            contextlib.closing(self._generate(prompt, max_tokens, deadline, cancelled)) as pieces,
        ):
            yield from pieces

    def _generate(
        self, prompt: Prompt, max_tokens: int, deadline: float, cancelled: threading.Event
    ) -> Generator[str]:
        tail = [*self._text(prompt.question), *self._markup(ANSWER)]
        position = self._keep_prefixes(
            prompt, deadline=deadline, cancelled=cancelled, reserve=len(tail) + max_tokens
        )
        if position is None or not self._decode(tail, position, _SCRATCH, deadline, cancelled):
            return
        position += len(tail)
        llama_cpp.llama_sampler_reset(self._sampler)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        for _ in range(max_tokens):
            if cancelled.is_set() or time.monotonic() > deadline:
                return
            token = llama_cpp.llama_sampler_sample(self._sampler, self._ctx, -1)
            if token == self._stop or llama_cpp.llama_vocab_is_eog(self._vocab, token):
                break
            piece = decoder.decode(self._piece(token))
            if piece:
                yield piece
            if not self._decode([token], position, _SCRATCH, deadline, cancelled):
                return
            position += 1
        rest = decoder.decode(b"", final=True)
        if rest:
            yield rest

    def _keep_prefixes(
        self,
        prompt: Prompt,
        *,
        deadline: float,
        cancelled: threading.Event,
        reserve: int = 0,
    ) -> int | None:
        """Leave system + context in the scratch sequence, computing only what is not kept.

        Returns their length in tokens, or ``None`` when cancelled or out of time.
        """
        system = (*self._markup(SYSTEM), *self._text(f"{prompt.system}\n"))
        context = (*self._text(prompt.context), *self._markup(USER))
        whole = system + context
        if len(whole) + reserve > self._context_size:
            raise EngineError(
                f"The prompt has {len(whole) + reserve} tokens; {self.name} takes "
                f"{self._context_size} here.",
                hint="Shorten the passages of the pack.",
            )
        self._make_room(len(whole) + reserve, spare=(system, whole))
        for prefix in (system, whole):
            if prefix in self._prefixes:
                self._prefixes.move_to_end(prefix)
        start = self._restore(whole) or self._restore(system)
        if start < len(system):
            if not self._decode(system[start:], start, _SCRATCH, deadline, cancelled):
                return None
            self._remember(system)
            start = len(system)
        if start < len(whole):
            if not self._decode(whole[start:], start, _SCRATCH, deadline, cancelled):
                return None
            self._remember(whole)
        return len(whole)

    def _restore(self, prefix: tuple[int, ...]) -> int:
        llama_cpp.llama_memory_seq_rm(self._memory, _SCRATCH, -1, -1)
        sequence = self._prefixes.get(prefix)
        if sequence is None:
            return 0
        llama_cpp.llama_memory_seq_cp(self._memory, sequence, _SCRATCH, -1, -1)
        return len(prefix)

    def _remember(self, prefix: tuple[int, ...]) -> None:
        if not self._free:
            self._forget_oldest(spare=())
        sequence = self._free.pop()
        llama_cpp.llama_memory_seq_cp(self._memory, _SCRATCH, sequence, -1, -1)
        self._prefixes[prefix] = sequence

    def _make_room(self, needed: int, *, spare: Sequence[tuple[int, ...]]) -> None:
        while self._prefixes and self._cells_in_use() + needed > self._context_size:
            if not self._forget_oldest(spare=spare):
                return

    def _cells_in_use(self) -> int:
        return sum(len(prefix) for prefix in self._prefixes)

    def _forget_oldest(self, *, spare: Sequence[tuple[int, ...]]) -> bool:
        for prefix in self._prefixes:
            if prefix not in spare:
                sequence = self._prefixes.pop(prefix)
                llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1)
                self._free.append(sequence)
                return True
        return False

    def _decode(
        self,
        tokens: Sequence[int],
        position: int,
        sequence: int,
        deadline: float,
        cancelled: threading.Event,
    ) -> bool:
        """Evaluate ``tokens`` at ``position``; False when cancelled or out of time."""
        batch = self._batch
        for start in range(0, len(tokens), BATCH):
            if cancelled.is_set() or time.monotonic() > deadline:
                return False
            chunk = tokens[start : start + BATCH]
            batch.n_tokens = len(chunk)
            for i, token in enumerate(chunk):
                batch.token[i] = token
                batch.pos[i] = position + start + i
                batch.n_seq_id[i] = 1
                batch.seq_id[i][0] = sequence
                batch.logits[i] = i == len(chunk) - 1
            if llama_cpp.llama_decode(self._ctx, batch) != 0:
                raise EngineError(f"{self.name} could not evaluate the prompt.")
        return True

    def _markup(self, text: str) -> list[int]:
        return self._llama.tokenize(text.encode(), add_bos=False, special=True)

    def _text(self, text: str) -> list[int]:
        """Tokens of text from outside: chat markup in it stays plain text."""
        return self._llama.tokenize(text.encode(), add_bos=False, special=False)

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, 64, 0, False)
        return buffer.raw[:length] if length > 0 else b""

    def _new_context(self, threads: int, context: int, kept: int) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = params.n_ubatch = BATCH
        params.n_seq_max = kept + 1
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        params.no_perf = True
        created = llama_cpp.llama_init_from_model(self._model, params)
        if created is None:
            raise EngineError(f"{self.name}: not enough memory for a context of {context} tokens.")
        return created


def attach_adapter(model: Any, context: Any, path: Path) -> None:
    """Have ``context`` run ``model`` with the LoRA adapter at ``path``, which the model then owns.

    Raises:
        EngineError: the adapter is damaged, or belongs to a model of another shape.
    """
    adapter = llama_cpp.llama_adapter_lora_init(model, str(path).encode())
    if adapter:
        adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
        scales = (ctypes.c_float * 1)(1.0)
        if llama_cpp.llama_set_adapters_lora(context, adapters, 1, scales) == 0:
            return
    raise EngineError(
        f"The adapter {path.name} does not fit the language model.",
        hint="An adapter works with the very model it was trained on.",
    )


def _new_sampler(vocabulary: int) -> Any:
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    penalties = llama_cpp.llama_sampler_init_penalties(
        vocabulary, REPEAT_LAST_N, REPEAT_PENALTY, 0.0, 0.0
    )
    llama_cpp.llama_sampler_chain_add(chain, penalties)
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())
    return chain
