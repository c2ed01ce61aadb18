"""Makes raw speech fit to be played back to back: trimmed, faded, evenly loud."""

from __future__ import annotations

import numpy as np

from edge_runtime.turn import Samples

HEAD_S = 0.03
SENTENCE_TAIL_S = 0.22
CLAUSE_TAIL_S = 0.10

_FADE_S = 0.005
_FRAME_S = 0.005
_SILENCE_RATIO = 0.02
_TARGET_RMS = 0.1
_MAX_GAIN = 4.0
_MAX_PEAK = 0.95


def shape_speech(samples: Samples, rate: int, *, tail_s: float = SENTENCE_TAIL_S) -> Samples:
    """Trim silence at both ends, level to -20 dBFS RMS below a 0.95 peak, and fade the ends.

    Args:
        samples: mono float32, shape (n,); values that are not finite count as silence.
        rate: in Hz.
        tail_s: seconds of pause to leave after the last sound.

    Returns:
        Mono float32 in [-0.95, 0.95]; empty when there is no sound at all.
    """
    samples = np.nan_to_num(np.asarray(samples, np.float32), posinf=0.0, neginf=0.0)
    frame = max(1, int(rate * _FRAME_S))
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    loudness = np.sqrt(np.mean(frames**2, axis=1)) if len(frames) else np.zeros(0, np.float32)
    peak = float(np.max(np.abs(samples), initial=0.0))
    heard = np.flatnonzero(loudness > _SILENCE_RATIO * peak)
    if not len(heard):
        return np.zeros(0, np.float32)
    active = loudness[loudness > _SILENCE_RATIO * peak]
    gain = min(_TARGET_RMS / float(np.sqrt(np.mean(active**2))), _MAX_PEAK / peak, _MAX_GAIN)
    start = max(0, int(heard[0]) * frame - int(rate * HEAD_S))
    end = min(len(samples), (int(heard[-1]) + 1) * frame + int(rate * tail_s))
    return _fade(samples[start:end] * np.float32(gain), int(rate * _FADE_S))


def _fade(samples: Samples, length: int) -> Samples:
    length = min(length, len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, length, dtype=np.float32)
    samples[:length] *= ramp
    samples[len(samples) - length :] *= ramp[::-1]
    return samples
