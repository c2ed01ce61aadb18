"""espeak-ng's own formant voices: plain, but many languages in a few megabytes.

https://github.com/espeak-ng/espeak-ng
"""

from __future__ import annotations

import io
import threading
import wave

import numpy as np

from edge_runtime.errors import EngineError
from edge_runtime.tts.base import check_request
from edge_runtime.tts.program import find_program, run_program
from edge_runtime.tts.shaping import shape_speech
from edge_runtime.tts.verbalize import verbalize
from edge_runtime.turn import Audio

RATE = 22_050
"""Hz."""

_WORDS_PER_MINUTE = 165
# Where a language has several voices or espeak-ng's name is not the ISO 639-1 code.
_VOICES = {"en": "en-us", "fr": "fr-fr", "pt": "pt-br", "zh": "cmn", "no": "nb"}


class EspeakSynthesizer:
    """Speaks whatever the installed espeak-ng speaks, in one fixed voice a language.

    Raises:
        EngineError: espeak-ng is not installed.
    """

    name = "espeak-ng"

    def __init__(self) -> None:
        self._program = find_program()
        self.languages = _read_languages(run_program(self._program, ["--voices"]))

    def synthesize(
        self,
        text: str,
        language: str,
        *,
        voice: str = "",
        cancelled: threading.Event | None = None,
    ) -> Audio:
        check_request(text, language, self.languages, self.name)
        words = verbalize(text, language)
        if not words or (cancelled is not None and cancelled.is_set()):
            return Audio(np.zeros(0, np.float32), RATE)
        speaker = _VOICES.get(language, language)
        arguments = ("--stdin", "--stdout", "-b", "1", "-s", str(_WORDS_PER_MINUTE), "-v", speaker)
        return _decode(run_program(self._program, arguments, words, cancelled))

    def close(self) -> None:
        """Nothing is held between calls."""

    def smoke(self) -> None:
        if not self.synthesize("hola", "es").seconds:
            raise EngineError(f"{self.name} made no sound.")


def _read_languages(listing: bytes) -> frozenset[str]:
    rows = (line.split() for line in listing.decode("utf-8", "replace").splitlines()[1:])
    codes = {row[1] for row in rows if len(row) > 1}
    renamed = {language for language, voice in _VOICES.items() if voice in codes}
    return frozenset({code for code in codes if len(code) == 2} | renamed)


def _decode(sound: bytes) -> Audio:
    if not sound:
        return Audio(np.zeros(0, np.float32), RATE)
    try:
        with wave.open(io.BytesIO(sound)) as reader:
            rate = reader.getframerate()
            # The header of a piped WAV claims two gigabytes; what is there is what counts.
            frames = reader.readframes(len(sound))
    except (wave.Error, EOFError) as error:
        raise EngineError(f"espeak-ng gave no sound: {error}.") from error
    samples = np.frombuffer(frames[: len(frames) // 2 * 2], "<i2").astype(np.float32) / np.float32(
        32768
    )
    return Audio(shape_speech(samples, rate), rate)
