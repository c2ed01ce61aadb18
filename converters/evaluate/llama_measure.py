"""Runs llama.cpp over a text; ``python -m converters.evaluate.llama_measure JOB``.

A process of its own for every model, because llama.cpp may abort and because peak memory is a
process's. ``JOB`` is a JSON object: ``model``, ``reference`` (a path, or null: then speed, memory
and perplexity are measured instead), ``text``, ``max_tokens``, ``threads``. The result is one JSON
object on standard output; ``[done/all]`` lines on standard error tell how far it is.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import llama_cpp
import numpy as np
import numpy.typing as npt

from converters.evaluate.machine import peak_memory_mb

Rows = npt.NDArray[np.float64]

_WINDOW: Final = 256
# Logits of a row are as wide as the vocabulary: 32 rows of 150,000 are 19 MB.
_BLOCK: Final = 32
_PROMPT: Final = 64
_GENERATED: Final = 48


class Refused(Exception):
    """Why the job cannot be done, one sentence."""


class Model:
    """A GGUF model that gives next-token log-probabilities, a block of positions at a time."""

    def __init__(self, path: str, threads: int) -> None:
        model_params = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
        if not self._model:
            raise Refused(f"llama.cpp cannot load {path}.")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = _WINDOW
        params.n_batch = params.n_ubatch = _BLOCK
        params.n_threads = params.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if not self._context:
            raise Refused(f"There is not enough memory to run {path}.")
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(_BLOCK, 0, 1)
        self.vocabulary = int(llama_cpp.llama_vocab_n_tokens(self._vocab))

    def tokens(self, text: bytes) -> list[int]:
        room = len(text) + 8
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, text, len(text), buffer, room, True, False)
        if count < 0:
            raise Refused("The text cannot be split into tokens.")
        return list(buffer[:count])

    def forget(self) -> None:
        llama_cpp.llama_memory_clear(self._memory, True)

    def read(self, tokens: Sequence[int], start: int, *, all_rows: bool) -> Rows:
        """Log-probabilities (nats) after each of at most 32 ``tokens`` placed at ``start``.

        Shape (len(tokens), vocabulary), or (1, vocabulary) for the last one only.
        """
        self._batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            self._batch.token[index] = token
            self._batch.pos[index] = start + index
            self._batch.n_seq_id[index] = 1
            self._batch.seq_id[index][0] = 0
            self._batch.logits[index] = all_rows or index == len(tokens) - 1
        if llama_cpp.llama_decode(self._context, self._batch) != 0:
            raise Refused("llama.cpp could not evaluate the text.")
        wanted = range(len(tokens)) if all_rows else [len(tokens) - 1]
        rows = [
            np.ctypeslib.as_array(
                llama_cpp.llama_get_logits_ith(self._context, index), shape=(self.vocabulary,)
            )
            for index in wanted
        ]
        return _log_softmax(np.stack(rows).astype(np.float64))


def speed(model: Model, windows: Sequence[Sequence[int]]) -> dict[str, float]:
    """Perplexity of the text, and how fast it is read and continued."""
    surprise, scored, seconds = 0.0, 0, 0.0
    for done, window in enumerate(windows):
        _progress(done, len(windows))
        model.forget()
        for start, block in _blocks(window):
            began = time.perf_counter()
            chances = model.read(block, start, all_rows=True)
            seconds += time.perf_counter() - began
            following = window[start + 1 : start + 1 + len(block)]
            surprise -= float(chances[np.arange(len(following)), following].sum())
            scored += len(following)
    return {
        "perplexity": float(np.exp(surprise / scored)),
        "tokens": float(scored),
        "prefill_tokens_per_s": sum(map(len, windows)) / seconds,
        **_generation(model, windows[0][:_PROMPT]),
        "peak_memory_mb": peak_memory_mb(),
    }


def divergence(
    model: Model, reference: Model, windows: Sequence[Sequence[int]]
) -> dict[str, float]:
    """Mean KL(reference ‖ model) in nats, and how often both expect the same next token."""
    total, agreed, scored = 0.0, 0, 0
    for done, window in enumerate(windows):
        _progress(done, len(windows))
        model.forget()
        reference.forget()
        for start, block in _blocks(window):
            wanted = reference.read(block, start, all_rows=True)
            found = model.read(block, start, all_rows=True)
            agreed += int((wanted.argmax(axis=1) == found.argmax(axis=1)).sum())
            total += float((np.exp(wanted) * (wanted - found)).sum())
            scored += len(block)
    # Rounding may leave identical models a hair below zero.
    return {"mean_kl": max(0.0, total / scored), "top1_agreement": agreed / scored}


def _generation(model: Model, prompt: Sequence[int]) -> dict[str, float]:
    model.forget()
    began = time.perf_counter()
    for start, block in _blocks(prompt):
        chances = model.read(block, start, all_rows=False)
    first = time.perf_counter() - began
    began = time.perf_counter()
    for position in range(len(prompt), len(prompt) + _GENERATED):
        chances = model.read([int(chances[-1].argmax())], position, all_rows=False)
    seconds = time.perf_counter() - began
    return {"first_token_ms": first * 1000, "tokens_per_s": _GENERATED / seconds}


def _blocks(tokens: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    for start in range(0, len(tokens), _BLOCK):
        yield start, tokens[start : start + _BLOCK]


def _log_softmax(logits: Rows) -> Rows:
    shifted: Rows = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _windows(tokens: Sequence[int], limit: int) -> list[Sequence[int]]:
    kept = tokens[:limit]
    windows = [kept[start : start + _WINDOW] for start in range(0, len(kept), _WINDOW)]
    # A window of one token predicts nothing.
    found = [window for window in windows if len(window) > 1]
    if not found:
        raise Refused("The text is too short to measure anything on.")
    return found


def _progress(done: int, total: int) -> None:
    sys.stderr.write(f"[{done}/{total}]\n")
    sys.stderr.flush()


def measure(job: dict[str, Any]) -> dict[str, float]:
    model = Model(job["model"], job["threads"])
    text = Path(job["text"]).read_bytes()
    tokens = model.tokens(text)
    windows = _windows(tokens, job["max_tokens"])
    if job["reference"] is None:
        return speed(model, windows)
    reference = Model(job["reference"], job["threads"])
    if reference.vocabulary != model.vocabulary or reference.tokens(text) != tokens:
        raise Refused("Model and reference have different vocabularies and cannot be compared.")
    return divergence(model, reference, windows)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    """llama.cpp's own log says nothing that the result does not."""


def main(arguments: list[str]) -> int:
    llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    try:
        result = measure(json.loads(arguments[0]))
    except Refused as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
