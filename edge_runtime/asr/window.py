"""One window of sound through Whisper: features, encoder, language, beam search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.asr.base import RATE
from edge_runtime.asr.text import is_repetitive
from edge_runtime.turn import Samples

if TYPE_CHECKING:
    from ctranslate2 import StorageView  # type: ignore[import-untyped]
    from faster_whisper import WhisperModel  # type: ignore[import-untyped]

FULL_WINDOW = 30.0
"""Seconds; what the network was trained on and the most that it takes."""
WINDOW_STEP = 5.0
"""Windows are multiples of this: each new length costs the engine memory that it keeps."""
TAIL = 2.0
"""Seconds of silence after the speech; with less the decoder often misses the end."""

FRAMES_A_SECOND = 100
BEAM = 5
MAX_TOKENS = 448
MAX_TOKENS_A_SECOND = 12
"""Nobody speaks faster; a decoder that loops is stopped there."""
SPARE_TOKENS = 24
MIN_LOGPROB = -1.0
"""Mean log-probability of the tokens below which a hearing is doubtful (Whisper's own value)."""
MAX_NO_SPEECH = 0.6
"""Probability of no speech above which a doubtful hearing counts as nothing (Whisper's own)."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What one decoding gave; ``logprob`` is the mean over its tokens."""

    text: str
    logprob: float
    no_speech: float

    @property
    def repetitive(self) -> bool:
        return is_repetitive(self.text)

    @property
    def doubtful(self) -> bool:
        return self.logprob < MIN_LOGPROB or self.repetitive

    @property
    def nothing(self) -> bool:
        return not self.text or (self.logprob < MIN_LOGPROB and self.no_speech > MAX_NO_SPEECH)


def window_seconds(samples: Samples) -> float:
    """The shortest window that decodes ``samples`` (16 kHz) reliably."""
    steps = math.ceil((len(samples) / RATE + TAIL) / WINDOW_STEP)
    return min(FULL_WINDOW, steps * WINDOW_STEP)


def encode(model: WhisperModel, samples: Samples, seconds: float) -> StorageView:
    """The encoder's output for ``samples`` followed by silence up to ``seconds``."""
    import ctranslate2

    padded = np.zeros(int(seconds * RATE), np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    features = model.feature_extractor(padded, padding=0)[:, : int(seconds * FRAMES_A_SECOND)]
    batch = np.ascontiguousarray(features[np.newaxis], dtype=np.float32)
    return model.model.encode(ctranslate2.StorageView.from_array(batch))


def detect_language(model: WhisperModel, encoded: StorageView, languages: Sequence[str]) -> str:
    """The likeliest of ``languages``."""
    if len(languages) == 1:
        return languages[0]
    probability = {token[2:-2]: p for token, p in model.model.detect_language(encoded)[0]}
    return max(languages, key=lambda language: probability.get(language, 0.0))


def decode(
    model: WhisperModel, encoded: StorageView, language: str, prompt: str, speech_seconds: float
) -> Hearing:
    """Beam search over one window.

    Args:
        language: what the sound is in.
        prompt: text to put before it, or "".
        speech_seconds: how much of the window is speech; bounds the length of the text.
    """
    from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped]

    tokenizer = Tokenizer(
        model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language
    )
    before = tokenizer.encode(" " + prompt) if prompt else []
    start = model.get_prompt(tokenizer, before, without_timestamps=True)
    length = len(start) + SPARE_TOKENS + int(speech_seconds * MAX_TOKENS_A_SECOND)
    result = model.model.generate(
        encoded,
        [start],
        beam_size=BEAM,
        max_length=min(MAX_TOKENS, length),
        return_scores=True,
        return_no_speech_prob=True,
    )[0]
    tokens = result.sequences_ids[0]
    return Hearing(
        text=tokenizer.decode([token for token in tokens if token < tokenizer.eot]).strip(),
        # CTranslate2 gives the mean without the end token, which is part of the hypothesis.
        logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
        no_speech=result.no_speech_prob,
    )
