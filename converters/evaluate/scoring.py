"""What measuring asks of a language model, whatever runs it, and the measures themselves.

Each engine is one module with one such class: ``llama_measure`` (a GGUF file), ``onnx_measure`` (a
folder with ``model.onnx``), ``torch_measure`` (a folder with ``config.json`` and safetensors).
The reference's expectations are written to a file once, so that
every format of a model is held against the same numbers and no process runs two models.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from converters.child import Refused, tell_progress
from edge_runtime.files import atomic_writer
from edge_runtime.generation import Prompt
from edge_runtime.generation.chatml import ANSWER, END, SYSTEM, USER
from edge_runtime.memory import peak_mb

Logits = npt.NDArray[np.float32]

WINDOW: Final = 256
BLOCK: Final = 64
"""Most tokens given to :meth:`Scorer.read` at once; the runtime reads prompts in the same steps."""

CONTEXT: Final = 1024
"""Most positions that are used after :meth:`Scorer.forget`."""

_PROMPT: Final = 64
_GENERATED: Final = 48
_PREFILL_WINDOWS: Final = 2
_KEPT: Final = 2048


class Scorer(Protocol):
    """A causal language model that gives logits, a block of positions at a time.

    Nothing may be loaded or computed before it is asked for: its process's peak memory is measured.
    """

    vocabulary: int
    """Width of a row of logits."""

    def tokens(self, text: str) -> list[int]:
        """``text`` as token ids, without a start token, chat markup in it being plain text."""
        ...

    def markup(self, text: str) -> list[int]:
        """As :meth:`tokens`, chat markup being what it stands for."""
        ...

    def forget(self) -> None:
        """Drop the key-value cache; the next block starts at position 0."""
        ...

    def read(self, tokens: Sequence[int], start: int, *, all_rows: bool) -> Logits:
        """Logits after each of at most :data:`BLOCK` ``tokens`` placed at ``start``.

        ``start`` always continues what was read since :meth:`forget`; at most :data:`CONTEXT`
        positions are used. Shape (len(tokens), vocabulary), or (1, vocabulary) for the last token
        only.
        """
        ...


class Reference:
    """What the reference expects after every token of the text.

    Its likeliest 2,048 tokens are kept each time, and all others together as one more: the
    divergence over those classes is a lower bound of the one over the whole vocabulary, and stays
    within 0.1 % of it on the models measured.
    """

    def __init__(
        self,
        tokens: npt.NDArray[np.int32],
        likeliest: npt.NDArray[np.int32],
        log_chances: Logits,
    ) -> None:
        self.tokens = tokens
        """The text, shape (n,)."""
        self._likeliest = likeliest
        self._log_chances = log_chances

    @classmethod
    def load(cls, path: Path) -> Reference:
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["tokens"], stored["likeliest"], stored["log_chances"])

    def save(self, path: Path) -> None:
        with atomic_writer(path) as file:
            np.savez(
                file,
                tokens=self.tokens,
                likeliest=self._likeliest,
                log_chances=self._log_chances,
            )

    def divergence(self, start: int, log_chances: Logits) -> tuple[float, int]:
        """Summed KL(reference ‖ model) in nats over the rows from ``start``, and how often both
        expect the same next token."""
        rows = slice(start, start + len(log_chances))
        likeliest, wanted = self._likeliest[rows], self._log_chances[rows]
        found = _with_rest(log_chances, likeliest)
        agreed = int((likeliest[:, 0] == log_chances.argmax(axis=1)).sum())
        terms = np.exp(wanted.astype(np.float64)) * (wanted - found)
        return float(terms.sum()), agreed


def reference_rows(tokens: Sequence[int], rows: Sequence[tuple[Any, Logits]]) -> Reference:
    """The reference from what :func:`kept_rows` kept of each block."""
    return Reference(
        np.asarray(tokens, np.int32),
        np.concatenate([likeliest for likeliest, _ in rows]),
        np.concatenate([chances for _, chances in rows]),
    )


def kept_rows(log_chances: Logits) -> tuple[npt.NDArray[np.int32], Logits]:
    """The likeliest tokens of each row, best first, and their log-probabilities and the rest's."""
    count = min(_KEPT, log_chances.shape[1])
    best = np.argpartition(-log_chances, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(log_chances, best, axis=1), axis=1, kind="stable")
    likeliest = np.take_along_axis(best, order, axis=1).astype(np.int32)
    return likeliest, _with_rest(log_chances, likeliest)


def _with_rest(log_chances: Logits, likeliest: npt.NDArray[np.int32]) -> Logits:
    chosen = np.take_along_axis(log_chances, likeliest, axis=1)
    chances = np.exp(log_chances)
    np.put_along_axis(chances, likeliest, 0.0, axis=1)
    rest = np.maximum(chances.sum(axis=1, dtype=np.float64, keepdims=True), 1e-30)
    joined: Logits = np.concatenate([chosen, np.log(rest).astype(np.float32)], axis=1)
    return joined


def speed(model: Scorer, windows: Sequence[Sequence[int]]) -> dict[str, float]:
    """How fast a prompt is read and continued, and the memory that takes.

    Measured before anything else: comparing needs memory that a device never does.
    """
    read, began = 0, time.perf_counter()
    for window in windows[:_PREFILL_WINDOWS]:
        model.forget()
        for start, block in _blocks(window):
            model.read(block, start, all_rows=False)
        read += len(window)
    prefill = read / (time.perf_counter() - began)
    model.forget()
    prompt = windows[0][:_PROMPT]
    began = time.perf_counter()
    logits = model.read(prompt, 0, all_rows=False)
    first = time.perf_counter() - began
    began = time.perf_counter()
    for position in range(len(prompt), len(prompt) + _GENERATED):
        logits = model.read([int(logits[-1].argmax())], position, all_rows=False)
    seconds = time.perf_counter() - began
    return {
        "prefill_tokens_per_s": prefill,
        "first_token_ms": first * 1000,
        "tokens_per_s": _GENERATED / seconds,
        "peak_memory_mb": peak_mb(),
    }


def expectations(
    model: Scorer, windows: Sequence[Sequence[int]], *, against: Reference | None, save: Path | None
) -> dict[str, float]:
    """Perplexity of the text, and divergence ``against`` a reference; ``save`` makes one."""
    surprise, scored, divergence, agreed, seen = 0.0, 0, 0.0, 0, 0
    kept: list[tuple[Any, Logits]] = []
    for done, window in enumerate(windows):
        tell_progress(done, len(windows))
        model.forget()
        for start, block in _blocks(window):
            chances = log_softmax(model.read(block, start, all_rows=True))
            following = window[start + 1 : start + 1 + len(block)]
            surprise -= float(chances[np.arange(len(following)), following].sum(dtype=np.float64))
            scored += len(following)
            if against is not None:
                more, same = against.divergence(seen, chances)
                divergence, agreed = divergence + more, agreed + same
            if save is not None:
                kept.append(kept_rows(chances))
            seen += len(block)
    found = {"perplexity": float(np.exp(surprise / scored)), "tokens": float(scored)}
    if against is not None:
        # Rounding may leave identical models a hair below zero.
        found |= {"mean_kl": max(0.0, divergence / seen), "top1_agreement": agreed / seen}
    if save is not None:
        reference_rows([token for window in windows for token in window], kept).save(save)
    return found


def reply_accuracy(model: Scorer, asked: Sequence[tuple[Prompt, str]]) -> dict[str, float]:
    """How many tokens of the replies hoped for are the ones the model expects first.

    Each is predicted from the prompt and the true beginning of the reply, so thousands of tokens
    are judged for the price of reading them; replies that do not fit are left out.
    """
    right, judged = 0, 0
    for done, (prompt, reply) in enumerate(asked):
        tell_progress(done, len(asked))
        begun = chat_tokens(model, prompt)
        hoped = [*model.tokens(reply), model.markup(END)[0]]
        tokens = [*begun, *hoped[:-1]]
        if len(tokens) > CONTEXT:
            continue
        model.forget()
        expected: list[int] = []
        for start, block in _blocks(tokens):
            rows = start + len(block) >= len(begun)
            logits = model.read(block, start, all_rows=rows)
            expected += logits.argmax(axis=1).tolist() if rows else [0] * len(block)
        hits = zip(expected[len(begun) - 1 :], hoped, strict=True)
        right += sum(first == token for first, token in hits)
        judged += len(hoped)
    return {"reply_accuracy": right / judged} if judged else {}


def chat_tokens(model: Scorer, prompt: Prompt) -> list[int]:
    """``prompt`` as the runtime writes it, up to where the reply begins."""
    return [
        *model.markup(SYSTEM),
        *model.tokens(f"{prompt.system}\n"),
        *model.tokens(prompt.context),
        *model.markup(USER),
        *model.tokens(prompt.question),
        *model.markup(ANSWER),
    ]


def log_softmax(logits: Logits) -> Logits:
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, dtype=np.float64, keepdims=True)
    chances: Logits = shifted - np.log(total).astype(np.float32)
    return chances


def windows_of(tokens: Sequence[int], limit: int) -> list[Sequence[int]]:
    """The first ``limit`` tokens in windows of :data:`WINDOW`.

    Raises:
        Refused: there are too few.
    """
    kept = tokens[:limit]
    windows = [kept[start : start + WINDOW] for start in range(0, len(kept), WINDOW)]
    # A window of one token predicts nothing.
    found = [window for window in windows if len(window) > 1]
    if not found:
        raise Refused("The text is too short to measure anything on.")
    return found


def _blocks(tokens: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    for start in range(0, len(tokens), BLOCK):
        yield start, tokens[start : start + BLOCK]
