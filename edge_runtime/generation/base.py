"""What a language model is to the rest of the runtime."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edge_runtime.errors import EngineError


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in parts that repeat from turn to turn, most stable first.

    ``system`` (who speaks and the rules) is the same for every turn in a language, ``context``
    (the passages) recurs whenever the same passages answer; only ``question`` is new. Models may
    keep what they computed for ``system`` and for ``system`` + ``context``.
    """

    system: str
    context: str
    question: str


class LanguageModel(Protocol):
    """A generative model; blocking, called from a worker thread, one caller at a time."""

    name: str

    def stream(
        self,
        prompt: Prompt,
        *,
        max_tokens: int,
        timeout_s: float,
        cancelled: threading.Event,
    ) -> Iterator[str]:
        """Yield the answer piece by piece; ends at the end of the answer, after ``max_tokens``
        tokens, after ``timeout_s`` seconds, or soon after ``cancelled`` is set.

        Raises:
            EngineError: the prompt does not fit or the engine failed.
        """
        ...

    def warm(self, prompt: Prompt) -> None:
        """Compute and keep what ``prompt``'s system and context need."""
        ...

    def smoke(self) -> None:
        """Answer something short; raises EngineError when that fails."""
        ...

    def close(self) -> None: ...


def smoke_test(model: LanguageModel) -> None:
    """Have a model answer something short.

    Raises:
        EngineError: it failed, or said nothing.
    """
    prompt = Prompt("Answer with one word.", "", "Say yes.")
    pieces = model.stream(prompt, max_tokens=4, timeout_s=30, cancelled=threading.Event())
    if not "".join(pieces).strip():
        raise EngineError(f"The language model {model.name} produced no text.")
