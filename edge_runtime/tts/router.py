"""One synthesiser out of two: the first where it speaks the language, else the fallback."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import LanguageError
from edge_runtime.tts.base import Synthesizer
from edge_runtime.turn import Audio

CACHE_BYTES = 8 * 2**20
"""About three minutes of 24 kHz speech."""

_Key = tuple[str, str, str, str]


class SpeechRouter:
    """A :class:`Synthesizer` that remembers what it said lately: a shop's answers recur.

    Args:
        primary: preferred for every language it speaks.
        fallback: for the others.
        cache_bytes: bound on the remembered speech.
    """

    name = "router"

    def __init__(
        self,
        primary: Synthesizer,
        fallback: Synthesizer | None = None,
        *,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._engines = (primary,) if fallback is None else (primary, fallback)
        self._cache = _SpeechCache(cache_bytes)

    @property
    def languages(self) -> frozenset[str]:
        return frozenset().union(*(engine.languages for engine in self._engines))

    def synthesize(
        self,
        text: str,
        language: str,
        *,
        voice: str = "",
        cancelled: threading.Event | None = None,
    ) -> Audio:
        engine = self._engine_for(language)
        key = (engine.name, language, voice, text)
        audio = self._cache.get(key)
        if audio is None:
            audio = engine.synthesize(text, language, voice=voice, cancelled=cancelled)
            self._cache.put(key, audio)
        return audio

    def forget(self) -> None:
        """Drop the remembered speech."""
        self._cache.clear()

    def close(self) -> None:
        for engine in self._engines:
            engine.close()
        self.forget()

    def smoke(self) -> None:
        for engine in self._engines:
            engine.smoke()

    def _engine_for(self, language: str) -> Synthesizer:
        for engine in self._engines:
            if language in engine.languages:
                return engine
        raise LanguageError(
            f"No speech engine here speaks '{language[:20]}'.",
            hint=f"Spoken: {', '.join(sorted(self.languages))}.",
        )


class _SpeechCache:
    """Least recently used speech goes first; 16-bit, because that is what is played."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[_Key, tuple[npt.NDArray[np.int16], int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _Key) -> Audio | None:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            samples, rate = self._kept[key]
        return Audio(samples.astype(np.float32) / np.float32(32767), rate)

    def put(self, key: _Key, audio: Audio) -> None:
        samples = np.round(audio.samples * 32767).astype(np.int16)
        if not 0 < samples.nbytes <= self._limit:
            return
        with self._lock:
            replaced = self._kept.pop(key, None)
            self._size += samples.nbytes - (replaced[0].nbytes if replaced else 0)
            self._kept[key] = (samples, audio.rate)
            while self._size > self._limit:
                self._size -= self._kept.popitem(last=False)[1][0].nbytes

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._size = 0
