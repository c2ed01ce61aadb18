"""Sound inside the containers that phones and browsers record into, through PyAV (FFmpeg)."""

from __future__ import annotations

from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.audio.format import RATE, check_stream, cut_short, damaged, too_long
from edge_runtime.errors import AudioError
from edge_runtime.turn import Samples

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

CUT_SECONDS = 0.5
"""How much shorter than its header says a recording may be; encoders pad and round."""


def decode_container(data: bytes, demuxer: str, name: str, max_seconds: float) -> Samples:
    """Decode the first sound stream of a container.

    Args:
        data: the file's content.
        demuxer: FFmpeg's name of the container ("matroska", "mov", "aac", "amr").
        name: what to call the file in messages.
        max_seconds: decoding stops there.

    Returns:
        Samples at 16 kHz, shape (n,), float32.

    Raises:
        AudioError: a video, no sound stream, too long, truncated or damaged.
    """
    import av
    from av.error import FFmpegError

    try:
        with av.open(BytesIO(data), mode="r", format=demuxer) as container:
            stream = _sound_stream(container, name)
            claimed = container.duration / av.time_base if container.duration else 0.0
            if claimed > max_seconds + CUT_SECONDS:
                raise too_long(name, max_seconds, claimed)
            samples = _decode_stream(container, stream, name, max_seconds)
    except (FFmpegError, ValueError, OverflowError) as error:
        if isinstance(error, AudioError):
            raise
        raise damaged(name) from error
    # Raw AAC and AMR have no header: their duration is FFmpeg's guess from the bit rate.
    if demuxer in {"mov", "matroska"} and len(samples) / RATE < claimed - CUT_SECONDS:
        raise cut_short(name)
    return samples


def _sound_stream(container: InputContainer, name: str) -> AudioStream:
    from av.stream import Disposition

    if any(not stream.disposition & Disposition.attached_pic for stream in container.streams.video):
        raise AudioError(f"{name} is a video, not a sound recording.", hint="Send the sound alone.")
    if not container.streams.audio:
        raise AudioError(f"{name} holds no sound.")
    stream = container.streams.audio[0]
    if not stream.codec_context.sample_rate:
        raise damaged(name)
    check_stream(name, stream.codec_context.sample_rate, stream.codec_context.channels)
    stream.codec_context.thread_count = 1
    return stream


def _decode_stream(
    container: InputContainer, stream: AudioStream, name: str, max_seconds: float
) -> Samples:
    from av.audio.resampler import AudioResampler

    resampler = AudioResampler(format="fltp", rate=RATE)
    limit = int(max_seconds * RATE)
    blocks: list[Samples] = []
    count = 0
    for frame in chain(container.decode(stream), (None,)):  # None flushes the resampler
        for out in resampler.resample(frame):
            block = out.to_ndarray().mean(axis=0, dtype=np.float32)
            count += len(block)
            if count > limit + int(CUT_SECONDS * RATE):
                raise too_long(name, max_seconds)
            blocks.append(block)
    return np.concatenate(blocks)[:limit] if blocks else np.zeros(0, np.float32)
