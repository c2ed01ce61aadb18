"""What every speech synthesiser offers."""

from __future__ import annotations

import threading
from typing import Protocol, runtime_checkable

from edge_runtime.errors import LanguageError, TextError
from edge_runtime.turn import Audio

MAX_CHARS = 2000
"""Characters one call speaks; a longer reply comes in segments."""


@runtime_checkable
class Synthesizer(Protocol):
    """Turns text into speech. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """Catalogue id of the model, or the engine's name where it has no model."""

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes it speaks."""

    def synthesize(
        self,
        text: str,
        language: str,
        *,
        voice: str = "",
        cancelled: threading.Event | None = None,
    ) -> Audio:
        """Speak ``text``.

        Args:
            text: as shown to the customer: digits, prices, Markdown and emoji may stand in it.
            language: ISO 639-1 code of the text.
            voice: one of the engine's voices. A name it does not have means the language's
                default voice, because a pack names voices for one engine and must also speak
                where another is installed.
            cancelled: once set, the engine stops at its next step.

        Returns:
            Mono speech, ends trimmed and faded; empty when nothing in the text can be spoken or
            when it was cancelled.

        Raises:
            LanguageError: the engine does not speak ``language``.
            TextError: more than ``MAX_CHARS`` characters.
            EngineError: the engine failed or is closed.
        """

    def close(self) -> None:
        """Free the model's memory. Idempotent."""

    def smoke(self) -> None:
        """Speak one word in one language.

        Raises:
            EngineError: it does not work on this machine.
        """


def check_request(text: str, language: str, speaks: frozenset[str], engine: str) -> None:
    """Refuse what an engine cannot speak.

    Raises:
        LanguageError: ``language`` is not among ``speaks``.
        TextError: more than ``MAX_CHARS`` characters.
    """
    if language not in speaks:
        raise LanguageError(
            f"'{engine}' does not speak '{language[:20]}'.",
            hint=f"It speaks: {', '.join(sorted(speaks))}.",
        )
    if len(text) > MAX_CHARS:
        raise TextError(
            f"The text to speak has {len(text)} characters, more than {MAX_CHARS}.",
            hint="Speak it segment by segment.",
        )
