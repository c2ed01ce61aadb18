"""PyTorch at 32 bits as a :class:`converters.evaluate.scoring.Scorer` and as the runtime's
:class:`~edge_runtime.generation.LanguageModel`: a Hugging Face folder."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from converters.child import Refused
from converters.evaluate.scoring import Logits, chat_tokens
from edge_runtime.generation import Prompt
from edge_runtime.generation.chatml import (
    END,
    REPEAT_LAST_N,
    REPEAT_PENALTY,
)


class TorchScorer:
    """A causal language model in 32-bit floats on the CPU, cache included."""

    def __init__(self, path: Path, threads: int) -> None:
        torch.set_num_threads(threads)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call]
                path, local_files_only=True
            )
            self._model: Any = AutoModelForCausalLM.from_pretrained(
                path, dtype=torch.float32, local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise Refused(f"{path} cannot be loaded: {error}") from error
        self._cache = DynamicCache()
        self.vocabulary = int(self._model.config.vocab_size)

    def tokens(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=True
        )
        return found

    def markup(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return found

    def text(self, tokens: Sequence[int]) -> str:
        """What ``tokens`` spell, as they are; markup says nothing."""
        found: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return found

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a reply."""
        stated = self._model.generation_config.eos_token_id
        stated = stated if isinstance(stated, list) else [stated]
        return frozenset(token for token in stated if token is not None)

    def forget(self) -> None:
        self._cache = DynamicCache()

    def read(self, tokens: Sequence[int], start: int, *, all_rows: bool) -> Logits:
        with torch.inference_mode():
            found = self._model(
                input_ids=torch.tensor([list(tokens)]),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=0 if all_rows else 1,
            )
        logits: Logits = found.logits[0].numpy()
        return logits


class TorchModel:
    """A chat model in ChatML form, run as the runtime runs one."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self.name = path.name
        self._scorer = TorchScorer(path, threads)

    def stream(
        self,
        prompt: Prompt,
        *,
        max_tokens: int,
        timeout_s: float,
        cancelled: threading.Event,
    ) -> Iterator[str]:
        deadline = time.monotonic() + timeout_s
        model, stop = self._scorer, self._scorer.markup(END)[0]
        tokens = chat_tokens(model, prompt)
        model.forget()
        logits, position = model.read(tokens, 0, all_rows=False)[-1], len(tokens)
        recent: deque[int] = deque(maxlen=REPEAT_LAST_N)
        written: list[int] = []
        while len(written) < max_tokens:
            token = _likeliest(logits, recent)
            if token == stop or token in model.ends:
                break
            if cancelled.is_set() or time.monotonic() > deadline:
                break
            recent.append(token)
            written.append(token)
            logits, position = model.read([token], position, all_rows=False)[-1], position + 1
        yield model.text(written)

    def warm(self, prompt: Prompt) -> None:
        """Nothing is kept from prompt to prompt."""

    def smoke(self) -> None:
        """Loading it was the test."""

    def close(self) -> None:
        self._scorer.forget()


def _likeliest(logits: Any, recent: Sequence[int]) -> int:
    """The likeliest token, those used lately being a little less likely (llama.cpp's rule)."""
    chances = logits.copy()
    for token in set(recent):
        value = chances[token]
        chances[token] = value / REPEAT_PENALTY if value > 0 else value * REPEAT_PENALTY
    return int(np.argmax(chances))
