"""Choice of engine and memory of what was said."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edge_runtime.errors import ConfigError, LanguageError
from edge_runtime.tts import ENGINES, SpeechRouter, Synthesizer, open_synthesizer
from edge_runtime.turn import Audio


class Tone:
    """A synthesiser that hums one second for any text and counts its calls."""

    def __init__(self, name: str, *languages: str) -> None:
        self.name = name
        self.languages = frozenset(languages)
        self.spoken: list[tuple[str, str, str]] = []
        self.closed = False

    def synthesize(
        self,
        text: str,
        language: str,
        *,
        voice: str = "",
        cancelled: threading.Event | None = None,
    ) -> Audio:
        self.spoken.append((text, language, voice))
        if cancelled is not None and cancelled.is_set():
            return Audio(np.zeros(0, np.float32), 8000)
        return Audio(np.full(8000, 0.25, np.float32), 8000)

    def close(self) -> None:
        self.closed = True

    def smoke(self) -> None:
        self.synthesize("hm", "en")


def test_primary_speaks_its_languages_and_the_fallback_the_rest() -> None:
    primary, fallback = Tone("good", "zh", "en"), Tone("plain", "en", "de")
    router = SpeechRouter(primary, fallback)
    for language in ("zh", "en", "de"):
        router.synthesize("hm", language)
    assert [language for _, language, _ in primary.spoken] == ["zh", "en"]
    assert [language for _, language, _ in fallback.spoken] == ["de"]
    assert router.languages == {"zh", "en", "de"}


def test_a_language_nobody_speaks_is_refused() -> None:
    with pytest.raises(LanguageError, match="tlh"):
        SpeechRouter(Tone("good", "zh")).synthesize("nuqneH", "tlh")


def test_what_was_said_is_not_made_twice_and_sounds_the_same() -> None:
    engine = Tone("good", "en")
    router = SpeechRouter(engine)
    first, again = (router.synthesize("hello", "en") for _ in range(2))
    assert len(engine.spoken) == 1
    assert first.rate == again.rate
    np.testing.assert_allclose(first.samples, again.samples, atol=1e-4)


def test_another_voice_is_another_sound() -> None:
    engine = Tone("good", "en")
    router = SpeechRouter(engine)
    router.synthesize("hello", "en", voice="a")
    router.synthesize("hello", "en", voice="b")
    assert [voice for _, _, voice in engine.spoken] == ["a", "b"]


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    engine = Tone("good", "en")
    router = SpeechRouter(engine, cache_bytes=2 * 16_000)
    for text in ("one", "two", "one", "three", "one", "two"):
        router.synthesize(text, "en")
    assert [text for text, _, _ in engine.spoken] == ["one", "two", "three", "two"]


def test_cancelled_speech_is_not_remembered() -> None:
    engine = Tone("good", "en")
    router = SpeechRouter(engine)
    cancelled = threading.Event()
    cancelled.set()
    assert router.synthesize("hello", "en", cancelled=cancelled).seconds == 0
    assert router.synthesize("hello", "en").seconds == 1


def test_close_closes_both_engines_and_forgets() -> None:
    primary, fallback = Tone("good", "en"), Tone("plain", "de")
    router = SpeechRouter(primary, fallback)
    router.synthesize("hello", "en")
    router.close()
    router.synthesize("hello", "en")
    assert primary.closed
    assert fallback.closed
    assert len(primary.spoken) == 2


def test_a_router_is_itself_a_synthesizer() -> None:
    assert isinstance(SpeechRouter(Tone("good", "en")), Synthesizer)


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="espeak-ng"):
        open_synthesizer("festival", {}, 1)
    assert set(ENGINES) == {"kokoro-82m-int8", "espeak-ng"}
