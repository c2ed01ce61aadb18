"""ONNX Runtime: chat models in ONNX form, with what was computed for earlier prompts kept.

What a decoder computed for a text is never written to again, so a kept prefix is a reference, and
a turn that continues it computes exactly what it would have computed from the start.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Tokenizer  # type: ignore[import-untyped]
from tokenizers.decoders import DecodeStream  # type: ignore[import-untyped]

from edge_runtime.errors import EngineError
from edge_runtime.generation.base import Prompt, smoke_test
from edge_runtime.generation.chatml import (
    ANSWER,
    BATCH,
    END,
    REPEAT_LAST_N,
    REPEAT_PENALTY,
    START,
    SYSTEM,
    USER,
)
from edge_runtime.generation.onnx_decoder import KeyValues, Logits, OnnxDecoder

_MAX_TOKENIZER_BYTES: Final = 64 * 2**20
_ENDS: Final = (END, "<|endoftext|>", "</s>")
_BROKEN: Final = "\ufffd"
_VERIFY: Final = "Run 'edge-runtime models verify' and 'edge-runtime doctor'."


class OnnxModel:
    """A chat model in ChatML form (Qwen2.5, SmolLM2) as ``model.onnx`` and ``tokenizer.json``.

    Args:
        files: the model's files; weights in ``model.onnx.data`` lie beside the graph.
        threads: CPU threads.
        context: tokens whose keys and values are held at most, kept prefixes and running turn.
        kept: how many prefixes stay cached at most.

    Raises:
        EngineError: a file is missing, no model, or the tokeniser is of another model.
    """

    def __init__(
        self, files: Mapping[str, Path], *, threads: int, context: int = 2048, kept: int = 8
    ) -> None:
        for needed in ("model.onnx", "tokenizer.json"):
            if needed not in files or not files[needed].is_file():
                raise EngineError(f"The language model has no {needed}.", hint=_VERIFY)
        self.name = files["model.onnx"].parent.name
        self._lock = threading.Lock()
        self._context_size = context
        self._kept = kept
        self._tokenizer = _tokenizer(files["tokenizer.json"])
        self._decoder: OnnxDecoder | None = OnnxDecoder(files["model.onnx"], threads)
        self._known = self._tokenizer.get_vocab_size(with_added_tokens=True)
        if self._known > self._decoder.vocabulary:
            raise EngineError(
                f"{files['tokenizer.json']} knows {self._known} tokens, the model "
                f"{self._decoder.vocabulary}: they do not belong together.",
                hint=_VERIFY,
            )
        ids = (self._tokenizer.token_to_id(end) for end in _ENDS)
        self._ends = frozenset(token for token in ids if token is not None)
        self._prefixes: OrderedDict[tuple[int, ...], KeyValues] = OrderedDict()

    def close(self) -> None:
        with self._lock:
            self._prefixes.clear()
            self._decoder = None

    def smoke(self) -> None:
        smoke_test(self)

    def warm(self, prompt: Prompt) -> None:
        with self._lock:
            clock = _Clock(time.monotonic() + 30, threading.Event())
            self._prefix(self._opened(), prompt, clock, reserve=0)

    def stream(
        self,
        prompt: Prompt,
        *,
        max_tokens: int,
        timeout_s: float,
        cancelled: threading.Event,
    ) -> Iterator[str]:
        clock = _Clock(time.monotonic() + timeout_s, cancelled)
        with self._lock:
            pieces = self._generate(self._opened(), prompt, max_tokens, clock)
            with contextlib.closing(pieces):
                yield from pieces

    def _opened(self) -> OnnxDecoder:
        if self._decoder is None:
            raise EngineError(f"The language model {self.name} was unloaded.")
        return self._decoder

    def _generate(
        self, decoder: OnnxDecoder, prompt: Prompt, max_tokens: int, clock: _Clock
    ) -> Generator[str]:
        tail = [*self._text(prompt.question), *self._markup(ANSWER)]
        past = self._prefix(decoder, prompt, clock, reserve=len(tail) + max_tokens)
        read = past and _read(decoder, tail, past, clock)
        stream = DecodeStream(skip_special_tokens=True)
        said: deque[int] = deque(maxlen=REPEAT_LAST_N)
        for _ in range(max_tokens):
            if not read or clock.over:
                return
            logits, past = read
            token = _choose(logits[0, : self._known], said)
            if token in self._ends:
                return
            said.append(token)
            # Bytes that never become a character are dropped, not shown as a question mark.
            piece = (stream.step(self._tokenizer, token) or "").replace(_BROKEN, "")
            if piece:
                yield piece
            read = _read(decoder, [token], past, clock)

    def _prefix(
        self, decoder: OnnxDecoder, prompt: Prompt, clock: _Clock, *, reserve: int
    ) -> KeyValues | None:
        """What system + context computed, from the longest kept part on.

        ``None`` when cancelled or out of time.
        """
        system = (*self._markup(SYSTEM), *self._text(f"{prompt.system}\n"))
        whole = (*system, *self._text(prompt.context), *self._markup(USER))
        if len(whole) + reserve > self._context_size:
            raise EngineError(
                f"The prompt has {len(whole) + reserve} tokens; {self.name} takes "
                f"{self._context_size} here.",
                hint="Shorten the passages of the pack.",
            )
        for prefix in (system, whole):
            if prefix in self._prefixes:
                self._prefixes.move_to_end(prefix)
        self._make_room(len(whole) + reserve, spare={system, whole})
        past = decoder.empty
        for prefix in (system, whole):
            kept = self._prefixes.get(prefix)
            if kept is None:
                read = _read(decoder, prefix[past.length :], past, clock)
                if read is None:
                    return None
                kept = read[1]
                self._remember(prefix, kept)
            past = kept
        return past

    def _remember(self, prefix: tuple[int, ...], kept: KeyValues) -> None:
        while len(self._prefixes) >= self._kept:
            self._prefixes.popitem(last=False)
        self._prefixes[prefix] = kept

    def _make_room(self, needed: int, *, spare: set[tuple[int, ...]]) -> None:
        """Forget the prefixes unused for longest until ``needed`` tokens fit beside the rest."""
        held = sum(len(prefix) for prefix in self._prefixes)
        for prefix in [prefix for prefix in self._prefixes if prefix not in spare]:
            if held + needed <= self._context_size:
                return
            del self._prefixes[prefix]
            held -= len(prefix)

    def _markup(self, text: str) -> list[int]:
        self._tokenizer.encode_special_tokens = False
        return self._encode(text)

    def _text(self, text: str) -> list[int]:
        """Tokens of text from outside: chat markup in it stays plain text."""
        self._tokenizer.encode_special_tokens = True
        return self._encode(text)

    def _encode(self, text: str) -> list[int]:
        clean = text.encode("utf-8", "replace").decode("utf-8")
        return list(self._tokenizer.encode(clean, add_special_tokens=False).ids)


class _Clock:
    """When a turn is to stop."""

    def __init__(self, deadline: float, cancelled: threading.Event) -> None:
        self._deadline = deadline
        self._cancelled = cancelled

    @property
    def over(self) -> bool:
        return self._cancelled.is_set() or time.monotonic() > self._deadline


def _read(
    decoder: OnnxDecoder, tokens: Sequence[int], past: KeyValues, clock: _Clock
) -> tuple[Logits, KeyValues] | None:
    """Read ``tokens`` (at least one), a batch at a time; ``None`` when it is time to stop."""
    logits: Logits | None = None
    for start in range(0, len(tokens), BATCH):
        if clock.over:
            return None
        logits, past = decoder.read(tokens[start : start + BATCH], past)
    return None if logits is None else (logits, past)


def _choose(logits: Logits, said: Sequence[int]) -> int:
    """The likeliest token, those ``said`` lately made a little less likely.

    Keskar et al., "CTRL", 2019, section 4.1.
    """
    chances = logits.copy()
    again = list(set(said))
    chances[again] = np.where(
        chances[again] > 0, chances[again] / REPEAT_PENALTY, chances[again] * REPEAT_PENALTY
    )
    return int(chances.argmax())


def _tokenizer(path: Path) -> Tokenizer:
    try:
        if path.stat().st_size > _MAX_TOKENIZER_BYTES:
            raise EngineError(f"{path} is too large for a tokeniser.", hint=_VERIFY)
        tokenizer = Tokenizer.from_file(str(path))
    except EngineError:
        raise
    except Exception as error:  # the library raises nothing more specific
        raise EngineError(f"{path} cannot be read: {error}.", hint=_VERIFY) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    markup = {tokenizer.token_to_id(START), tokenizer.token_to_id(END)}
    typed = tokenizer.encode(f"{START}{END}", add_special_tokens=False).ids
    # A customer who types markup must not be able to speak as the system.
    if None in markup or not markup.isdisjoint(typed):
        raise EngineError(
            f"{path} does not keep {START} and {END} apart from typed text.",
            hint="Only chat models in ChatML form can be used.",
        )
    return tokenizer
