"""Kokoro-82M v1.0 (StyleTTS 2 with an iSTFTNet vocoder) as INT8 ONNX, 24 kHz.

https://huggingface.co/hexgrad/Kokoro-82M
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from edge_runtime.errors import EngineError, ModelCorruptError, ModelMissingError
from edge_runtime.tts.base import check_request
from edge_runtime.tts.phonemes import Phonemizer
from edge_runtime.tts.shaping import CLAUSE_TAIL_S, SENTENCE_TAIL_S, shape_speech
from edge_runtime.tts.verbalize import verbalize
from edge_runtime.turn import Audio, Samples

RATE = 24_000
"""Hz."""
MAX_PHONEMES = 160
"""Phonemes in one run. The model takes 510, but the runtime keeps the memory of its longest run:
500 add 700 MB to the loaded model, 160 about 300 MB."""

# A voice's first letter is its language, the second f or m.
_LETTERS = {
    "zh": "z", "en": "ab", "es": "e", "fr": "f", "it": "i", "pt": "p", "hi": "h",
}  # fmt: skip
# Chosen by what a recogniser understood of them; other languages take their first.
_DEFAULT_VOICES = {"zh": "zf_xiaobei", "en": "af_heart", "es": "ef_dora"}

_STYLES = 510
_STYLE_SIZE = 256
_PAD = 0
_BREAKS = (".!?…", ";:,—", " ")
_CANCEL_POLL_S = 0.05


class KokoroSynthesizer:
    """Speaks zh, en, es, fr, it, pt and hi with one model and 54 small voice files.

    Japanese voices exist too, but espeak-ng's Japanese phonemes do not suit the model.

    Args:
        files: ``model.onnx``, ``vocab.json`` and ``voices/<name>.bin`` (float32, 510 x 1 x 256).
        threads: for one run.

    Raises:
        ModelMissingError: a file is not there.
        ModelCorruptError: a file is not what its name says.
        EngineError: espeak-ng, which gives the phonemes, is not installed.
    """

    name = "kokoro-82m-int8"

    def __init__(self, files: Mapping[str, Path], threads: int) -> None:
        for needed in ("model.onnx", "vocab.json"):
            if needed not in files:
                raise ModelMissingError(f"{self.name} lacks its file {needed}.")
        self._voices = {
            Path(file).stem: path
            for file, path in sorted(files.items())
            if file.startswith("voices/") and file.endswith(".bin")
        }
        self.languages = frozenset(
            language for language in _LETTERS if next(self._voices_of(language), None)
        )
        if not self.languages:
            raise ModelMissingError(f"{self.name} has no voice file.")
        self._vocabulary = _read_vocabulary(files["vocab.json"])
        self._phonemize = Phonemizer()
        self._session: ort.InferenceSession | None = _open_session(files["model.onnx"], threads)
        self._lock = threading.Lock()

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the voices that can be asked for."""
        return tuple(self._voices)

    def synthesize(
        self,
        text: str,
        language: str,
        *,
        voice: str = "",
        cancelled: threading.Event | None = None,
    ) -> Audio:
        check_request(text, language, self.languages, self.name)
        if voice not in self._voices:
            voice = self._default_voice(language)
        phonemes = self._phonemize(
            verbalize(text, language), language, british=voice[0] == "b", cancelled=cancelled
        )
        known = "".join(char for char in phonemes if char in self._vocabulary)
        style = _read_style(self._voices[voice])
        pieces: list[Samples] = []
        for chunk in split_phonemes(known, MAX_PHONEMES):
            if cancelled is not None and cancelled.is_set():
                return _nothing()
            samples = self._run(chunk, style, cancelled)
            tail = SENTENCE_TAIL_S if chunk[-1] in ".!?…" else CLAUSE_TAIL_S
            pieces.append(shape_speech(samples, RATE, tail_s=tail))
        if cancelled is not None and cancelled.is_set():
            return _nothing()
        return Audio(np.concatenate(pieces), RATE) if pieces else _nothing()

    def close(self) -> None:
        with self._lock:
            self._session = None

    def smoke(self) -> None:
        language = min(self.languages)
        word = {"zh": "你好", "hi": "नमस्ते"}.get(language, "hola")
        if not self.synthesize(word, language).seconds:
            raise EngineError(f"{self.name} made no sound.")

    def _run(self, chunk: str, style: Samples, cancelled: threading.Event | None) -> Samples:
        tokens = [_PAD, *(self._vocabulary[char] for char in chunk), _PAD]
        feed = {
            "tokens": np.array([tokens], np.int64),
            "style": style[len(chunk) - 1],
            "speed": np.ones(1, np.float32),
        }
        with self._lock, _terminated_by(cancelled) as options:
            if self._session is None:
                raise EngineError(f"{self.name} is closed.")
            try:
                samples: Samples = self._session.run(None, feed, options)[0].reshape(-1)
            except Exception as error:
                if options.terminate:
                    return np.zeros(0, np.float32)
                raise EngineError(f"{self.name} failed: {str(error)[:200]}") from error
        return samples

    def _default_voice(self, language: str) -> str:
        preferred = _DEFAULT_VOICES.get(language, "")
        return preferred if preferred in self._voices else next(self._voices_of(language))

    def _voices_of(self, language: str) -> Iterator[str]:
        return (voice for voice in self._voices if voice[0] in _LETTERS[language])


def split_phonemes(phonemes: str, limit: int) -> list[str]:
    """Cut into stretches of at most ``limit``: after a sentence, else a clause, else a word."""
    chunks = []
    rest = phonemes.strip()
    while len(rest) > limit:
        window = rest[:limit]
        # A break early in the window would leave a stub to speak; go down a rank instead.
        ends = (max(window.rfind(mark) for mark in marks) + 1 for marks in _BREAKS)
        cut = next((end for end in ends if end > limit // 3), limit)
        chunks.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [chunk for chunk in [*chunks, rest] if any(char.isalpha() for char in chunk)]


@contextmanager
def _terminated_by(cancelled: threading.Event | None) -> Iterator[ort.RunOptions]:
    """Run options whose run stops soon after ``cancelled`` is set."""
    options = ort.RunOptions()
    if cancelled is None:
        yield options
        return
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if cancelled.wait(_CANCEL_POLL_S):
                options.terminate = True
                return

    watcher = threading.Thread(target=watch, name="kokoro-cancel", daemon=True)
    watcher.start()
    try:
        yield options
    finally:
        done.set()
        watcher.join()


def _nothing() -> Audio:
    return Audio(np.zeros(0, np.float32), RATE)


def _open_session(model: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin between operators would take the core that the language model needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelCorruptError(
            f"The model file {model.name} cannot be loaded: {str(error)[:200]}"
        ) from error


def _read_vocabulary(path: Path) -> dict[str, int]:
    try:
        vocabulary = json.loads(path.read_text("utf-8"))["vocab"]
        return {str(symbol): int(token) for symbol, token in vocabulary.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelCorruptError(f"The vocabulary {path.name} cannot be read: {error}") from error


def _read_style(path: Path) -> Samples:
    """Style vectors by length, shape (510, 1, 256), left on disk until used."""
    try:
        return np.memmap(path, np.float32, "r", shape=(_STYLES, 1, _STYLE_SIZE))
    except (OSError, ValueError) as error:
        raise ModelCorruptError(f"The voice file {path.name} cannot be read: {error}") from error
