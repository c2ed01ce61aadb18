"""Any sound file to 16 kHz mono float32, every size bounded before it is spent.

Files are read whole only up to ``max_bytes``, and decoded only up to ``max_seconds``, whatever
their headers claim. The kind of file is told from its first bytes, never from its name.
"""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_runtime.audio.format import RATE, check_stream, cut_short, damaged, too_long
from edge_runtime.errors import AudioError
from edge_runtime.turn import Audio, Samples

if TYPE_CHECKING:
    import soundfile  # type: ignore[import-untyped]

BLOCK_FRAMES = 1 << 16
UNKNOWN_FRAMES = 1 << 40
"""libsndfile reports absurd counts for streams whose header does not give their length."""

SNDFILE_FORMATS = frozenset({"WAV", "WAVEX", "FLAC", "OGG", "MP3", "AIFF", "CAF", "AU"})

_MOV_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
_MAGIC = {
    b"\x1aE\xdf\xa3": "matroska",
    b"#!AMR": "amr",
    b"FLV\x01": "video",
    b"\x00\x00\x01\xba": "video",
    b"\x00\x00\x01\xb3": "video",
}
_KNOWN = "WAV, FLAC, OGG, Opus, MP3, M4A, AAC and WebM sound can be used."
_CHUNK_CUT = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED_BYTES = 0x7FFF_0000
"""Recorders that write to a pipe put a size of 2 GiB or more for "until the end"."""


def decode_audio(source: Path | bytes, *, max_seconds: float, max_bytes: int) -> Audio:
    """Decode a sound file to 16 kHz mono.

    Args:
        source: a regular file, or a file's content.
        max_seconds: longest recording accepted; nothing is decoded past it.
        max_bytes: largest file accepted; larger ones are not read.

    Returns:
        Audio at 16 kHz with samples in [-1, 1]; louder recordings are scaled down to fit.

    Raises:
        AudioError: missing, empty, too large, too long, truncated, not sound, a video, or
            holding samples, a rate or channels that make no sense.
    """
    name = f"'{source.name}'" if isinstance(source, Path) else "The audio"
    data = _read(source, name, max_bytes)
    container = _container_of(data)
    if container == "video":
        raise AudioError(f"{name} is a video, not a sound recording.", hint=_KNOWN)
    if container:
        from edge_runtime.audio.container import decode_container

        samples = decode_container(data, container, name, max_seconds)
    else:
        samples = _decode_sndfile(data, name, max_seconds)
    return Audio(_within_unit(samples, name), RATE)


def pcm16_to_samples(chunk: bytes) -> Samples:
    """Microphone bytes (signed 16-bit little-endian PCM, mono) as float32 samples in [-1, 1).

    Raises:
        AudioError: the chunk ends in the middle of a sample.
    """
    if len(chunk) % 2:
        raise AudioError(f"A microphone chunk of {len(chunk)} bytes is not whole 16-bit samples.")
    return np.frombuffer(chunk, dtype="<i2").astype(np.float32) / 32768.0


def _read(source: Path | bytes, name: str, max_bytes: int) -> bytes:
    if isinstance(source, Path):
        try:
            if not source.is_file():
                what = "is not a file" if source.exists() else "does not exist"
                raise AudioError(f"{name} {what}.")
            with source.open("rb") as file:
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise AudioError(f"{name} cannot be read: {error.strerror}.") from error
    else:
        data = source
    if not data:
        raise AudioError(f"{name} is empty (0 bytes).")
    if len(data) > max_bytes:
        raise AudioError(f"{name} is too large: at most {max_bytes / 2**20:.3g} MiB can be used.")
    return data


def _container_of(data: bytes) -> str:
    """FFmpeg's demuxer for ``data``, "video" for formats that only hold video, "" for the rest.

    The demuxer is always named: left to guess, FFmpeg would also follow playlists, which open
    other files and addresses.
    """
    head = data[:16]
    if head[4:8] in _MOV_ATOMS:
        return "mov"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:  # ADTS sync word
        return "aac"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "video"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


def _decode_sndfile(data: bytes, name: str, max_seconds: float) -> Samples:
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            if file.format not in SNDFILE_FORMATS:
                raise AudioError(f"{name} is {file.format} data, not sound.", hint=_KNOWN)
            check_stream(name, file.samplerate, file.channels)
            if file.frames < UNKNOWN_FRAMES and file.frames > max_seconds * file.samplerate:
                raise too_long(name, max_seconds, file.frames / file.samplerate)
            if _chunk_is_cut(file.extra_info) or _last_ogg_page_is_cut(data):
                raise cut_short(name)
            return _read_blocks(file, name, max_seconds)
    except soundfile.LibsndfileError as error:
        known = data.startswith((b"fLaC", b"OggS", b"RIFF", b"FORM", b"caff", b"ID3"))
        if known:
            raise damaged(name) from error
        raise AudioError(f"{name} is not a sound file.", hint=_KNOWN) from error


def _read_blocks(file: soundfile.SoundFile, name: str, max_seconds: float) -> Samples:
    import soxr  # type: ignore[import-untyped]

    rate = file.samplerate
    limit = int(max_seconds * rate)
    resampler = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32")
    blocks: list[Samples] = []
    frames = 0
    while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
        frames += len(block)
        if frames > limit:
            raise too_long(name, max_seconds)
        mono = _finite(block, name).mean(axis=1, dtype=np.float32)
        blocks.append(mono if resampler is None else resampler.resample_chunk(mono))
    if frames < file.frames < UNKNOWN_FRAMES:
        raise cut_short(name)
    if resampler is not None:
        blocks.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _chunk_is_cut(log: str) -> bool:
    """Whether libsndfile's log says that the sound chunk is larger than what is left of the file.

    libsndfile itself silently shortens such files.
    """
    return any(
        int(held) < int(claimed) * 0.99 and int(claimed) < _STREAMED_BYTES
        for claimed, held in _CHUNK_CUT.findall(log)
    )


def _last_ogg_page_is_cut(data: bytes) -> bool:
    """Whether an Ogg file stops in the middle of a page (RFC 3533, section 6)."""
    if not data.startswith(b"OggS"):
        return False
    start = data.rfind(b"OggS")
    lacing = start + 27
    if len(data) < lacing:
        return True
    body = lacing + data[start + 26]
    return len(data) < body + sum(data[lacing:body])


def _finite(block: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
    if not np.isfinite(block).all():
        raise AudioError(f"{name} holds samples that are not numbers.")
    return block


def _within_unit(samples: Samples, name: str) -> Samples:
    if not len(samples):
        raise AudioError(f"{name} holds no sound.")
    peak = float(np.abs(_finite(samples, name)).max())
    return samples / np.float32(peak) if peak > 1.0 else samples
