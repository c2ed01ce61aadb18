"""The one form in which sound travels through the device, and what is accepted into it."""

from __future__ import annotations

from edge_runtime.errors import AudioError

RATE = 16_000
"""Hz. Speech recognisers and the voice activity detector all expect this rate."""

MIN_SOURCE_RATE = 4_000
MAX_SOURCE_RATE = 192_000
MAX_CHANNELS = 8


def check_stream(name: str, rate: int, channels: int) -> None:
    """Refuse sample rates and channel counts that no recording of speech has.

    Raises:
        AudioError: ``rate`` (Hz) or ``channels`` is out of range.
    """
    if not MIN_SOURCE_RATE <= rate <= MAX_SOURCE_RATE:
        raise AudioError(
            f"{name} has a sample rate of {rate} Hz; "
            f"{MIN_SOURCE_RATE} to {MAX_SOURCE_RATE} Hz can be used."
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{name} has {channels} channels; 1 to {MAX_CHANNELS} can be used.")


def too_long(name: str, max_seconds: float, seconds: float | None = None) -> AudioError:
    """The error for a recording over the limit; ``seconds`` where its header says how long."""
    length = "" if seconds is None else f" ({seconds:.0f} seconds)"
    return AudioError(
        f"{name} is too long{length}: at most {max_seconds:g} seconds can be used.",
        hint="Record a shorter question.",
    )


def cut_short(name: str) -> AudioError:
    """The error for a recording whose end is missing."""
    return AudioError(f"{name} is truncated: its end is missing.", hint="Record or copy it again.")


def damaged(name: str) -> AudioError:
    """The error for a recording that begins like sound but cannot be decoded."""
    return AudioError(f"{name} is truncated or damaged.", hint="Record or copy it again.")
