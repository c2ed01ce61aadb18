"""Any recording becomes 16 kHz mono, and anything else one clear error."""

from __future__ import annotations

import io
import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.audio import RATE, decode_audio, pcm16_to_samples, wav_bytes
from edge_runtime.errors import AudioError
from edge_runtime.turn import Audio

MAX_BYTES = 25 * 2**20


def decode(source: Path | bytes, max_seconds: float = 60.0, max_bytes: int = MAX_BYTES) -> Audio:
    return decode_audio(source, max_seconds=max_seconds, max_bytes=max_bytes)


def tone(rate: int, seconds: float = 1.0, channels: int = 1) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def sound_file(samples: np.ndarray, rate: int, kind: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def container(kind: str, codec: str, *, seconds: float = 1.0, video: bool = False) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as file:
        sound = file.add_stream(codec, rate=48_000)
        sound.layout = "stereo"
        picture = file.add_stream("mpeg4", rate=10) if video else None
        if picture is not None:
            picture.width = picture.height = 64
            picture.pix_fmt = "yuv420p"
            black = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            file.mux([*picture.encode(black), *picture.encode(None)])
        samples = np.ascontiguousarray(tone(48_000, seconds, 2).T)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = 48_000
        file.mux([*sound.encode(frame), *sound.encode(None)])
    return buffer.getvalue()


def loudest_hz(audio: Audio) -> float:
    spectrum = np.abs(np.fft.rfft(audio.samples))
    return float(np.fft.rfftfreq(len(audio.samples), 1 / audio.rate)[spectrum.argmax()])


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_U8"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("MP3", None),
        ("AIFF", "PCM_16"),
    ],
)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_files_keep_their_pitch_and_length(
    kind: str, subtype: str | None, rate: int, channels: int
) -> None:
    audio = decode(sound_file(tone(rate, 1.0, channels), rate, kind, subtype))
    assert audio.rate == RATE
    assert audio.samples.dtype == np.float32
    assert audio.seconds == pytest.approx(1.0, abs=0.08)
    assert loudest_hz(audio) == pytest.approx(440, abs=4)
    assert np.abs(audio.samples).max() == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize(
    ("kind", "codec"),
    [("webm", "libopus"), ("mp4", "aac"), ("ipod", "aac"), ("adts", "aac"), ("ogg", "libopus")],
)
def test_what_phones_and_browsers_record_is_decoded(kind: str, codec: str) -> None:
    audio = decode(container(kind, codec))
    assert audio.rate == RATE
    assert audio.seconds == pytest.approx(1.0, abs=0.08)
    assert loudest_hz(audio) == pytest.approx(440, abs=4)
    assert np.abs(audio.samples).max() == pytest.approx(0.3, abs=0.08)


@settings(max_examples=30, deadline=None)
@given(
    rate=st.integers(4_000, 192_000),
    channels=st.integers(1, 8),
    frames=st.integers(100, 5_000),
    subtype=st.sampled_from(["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"]),
)
def test_every_rate_and_channel_count_in_range_gives_that_many_seconds(
    rate: int, channels: int, frames: int, subtype: str
) -> None:
    noise = np.random.default_rng(frames).uniform(-0.5, 0.5, (frames, channels))
    audio = decode(sound_file(noise, rate, "WAV", subtype))
    assert audio.seconds == pytest.approx(frames / rate, abs=1.5 / RATE)
    assert np.isfinite(audio.samples).all()
    assert np.abs(audio.samples).max() <= 1.0


def test_a_file_is_known_by_its_content_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "question.txt"
    path.write_bytes(sound_file(tone(16_000), 16_000, "FLAC"))
    assert decode(path).seconds == pytest.approx(1.0)


def test_a_recording_louder_than_full_scale_is_scaled_down() -> None:
    audio = decode(sound_file(tone(16_000) * 10, 16_000, "WAV", "FLOAT"))
    assert np.abs(audio.samples).max() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a", "not a sound file"),
        ("我想退货\n".encode() * 100, "not a sound file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "not a sound file"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not a sound file"),
        (b"RIFF\x24\x00\x00\x00WAVE", "truncated or damaged"),
        (b"\x1aE\xdf\xa3" + bytes(200), "truncated or damaged"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(200), "truncated or damaged"),
    ],
)
def test_what_is_not_a_recording_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        decode(content)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "AU", "OGG", "MP3", "CAF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_sound_files_are_refused(kind: str, kept: float) -> None:
    whole = sound_file(tone(16_000, 3.0), 16_000, kind)
    with pytest.raises(AudioError):
        decode(whole[: int(len(whole) * kept)])


@pytest.mark.parametrize(("kind", "codec"), [("webm", "libopus"), ("mp4", "aac")])
@pytest.mark.parametrize("kept", [0.01, 0.5])
def test_truncated_containers_are_refused(kind: str, codec: str, kept: float) -> None:
    whole = container(kind, codec, seconds=3.0)
    with pytest.raises(AudioError):
        decode(whole[: int(len(whole) * kept)])


def test_a_wav_streamed_with_unknown_size_is_accepted() -> None:
    content = bytearray(sound_file(tone(16_000), 16_000, "WAV"))
    size = content.find(b"data") + 4
    content[4:8] = content[size : size + 4] = b"\xff\xff\xff\xff"
    assert decode(bytes(content)).seconds == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["mp4", "avi", "matroska"])
def test_a_video_is_refused_as_a_video(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.m4a"
    path.write_bytes(container(kind, "aac", video=True))
    with pytest.raises(AudioError, match=r"'clip\.m4a' is a video"):
        decode(path)


def an_hour(kind: str, subtype: str) -> bytes:
    buffer = io.BytesIO()
    minute = np.zeros(8_000 * 60, np.int16)
    if subtype == "OPUS":
        # Long frames, little effort: a fifth of the time that libsndfile takes.
        how = {"compression_level": "0", "frame_duration": "60"}
        with av.open(buffer, "w", format="ogg") as opus:
            sound = opus.add_stream("libopus", rate=8_000, layout="mono", options=how)
            for _ in range(60):
                frame = av.AudioFrame.from_ndarray(minute[None], format="s16", layout="mono")
                frame.sample_rate = 8_000
                opus.mux(sound.encode(frame))
            opus.mux(sound.encode(None))
        return buffer.getvalue()
    with soundfile.SoundFile(buffer, "w", 8_000, 1, subtype, format=kind) as file:
        for _ in range(60):
            file.write(minute)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_U8"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")],
)
def test_an_hour_is_refused_by_its_header(kind: str, subtype: str) -> None:
    with pytest.raises(AudioError, match="3600 seconds"):
        decode(an_hour(kind, subtype), max_bytes=32 * 2**20)


def test_an_hour_whose_header_hides_its_length_is_refused_while_decoding() -> None:
    hour = bytearray(an_hour("FLAC", "PCM_16"))
    # The last 36 bits of bytes 18 to 25 (in STREAMINFO) count the samples; 0 means unknown.
    hour[21] &= 0xF0
    hour[22:26] = bytes(4)
    with pytest.raises(AudioError, match="too long: at most 60 seconds"):
        decode(bytes(hour))


def test_an_hour_in_a_container_is_refused_by_its_header() -> None:
    with pytest.raises(AudioError, match="too long"):
        decode(container("webm", "libopus", seconds=3.0), max_seconds=1.0)


def test_a_live_container_without_duration_is_bounded_while_decoding() -> None:
    raw = container("adts", "aac", seconds=5.0)
    with pytest.raises(AudioError, match="too long"):
        decode(raw, max_seconds=2.0)


def test_a_recording_of_exactly_the_limit_is_accepted() -> None:
    assert decode(sound_file(tone(44_100), 44_100, "WAV"), max_seconds=1.0).seconds == 1.0


def test_too_many_bytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.wav"
    with path.open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(AudioError, match="too large: at most 1 MiB"):
        decode(path, max_bytes=2**20)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers_are_refused(value: float) -> None:
    samples = tone(44_100)
    samples[100] = value
    with pytest.raises(AudioError, match="not numbers"):
        decode(sound_file(samples, 44_100, "WAV", "FLOAT"))


@pytest.mark.parametrize("rate", [1, 3_999, 192_001, 2_000_000_000])
def test_absurd_sample_rates_are_refused(rate: int) -> None:
    with pytest.raises(AudioError, match=f"sample rate of {rate} Hz"):
        decode(sound_file(np.zeros(100, np.int16), rate, "WAV"))


def test_absurd_channel_counts_are_refused() -> None:
    with pytest.raises(AudioError, match="64 channels"):
        decode(sound_file(np.zeros((100, 64), np.int16), 16_000, "WAV"))


def test_a_header_without_samples_is_refused() -> None:
    with pytest.raises(AudioError, match="holds no sound"):
        decode(sound_file(np.zeros(0, np.int16), 16_000, "WAV"))


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="does not exist"):
        decode(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="is not a file"):
        decode(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AudioError, match="is not a file"):
        decode(tmp_path / "pipe")


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["WAV", "FLAC", "OGG", "MP3", "webm", "mp4"]),
    position=st.floats(0, 1),
    junk=st.binary(min_size=1, max_size=64),
)
def test_damaged_recordings_decode_or_are_refused(kind: str, position: float, junk: bytes) -> None:
    content = bytearray(_WHOLE[kind])
    start = int(position * (len(content) - 1))
    content[start : start + len(junk)] = junk
    try:
        audio = decode(bytes(content))
    except AudioError:
        return
    assert audio.rate == RATE
    assert np.isfinite(audio.samples).all()
    assert audio.seconds <= 60.5


_WHOLE = {kind: sound_file(tone(16_000), 16_000, kind) for kind in ("WAV", "FLAC", "OGG", "MP3")}
_WHOLE |= {"webm": container("webm", "libopus"), "mp4": container("mp4", "aac")}


@given(st.binary(max_size=2_000).map(lambda b: b[: len(b) // 2 * 2]))
def test_microphone_chunks_become_samples_in_range(chunk: bytes) -> None:
    samples = pcm16_to_samples(chunk)
    assert samples.dtype == np.float32
    assert len(samples) == len(chunk) // 2
    assert np.array_equal((samples * 32768).astype("<i2"), np.frombuffer(chunk, "<i2"))


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioError, match="3 bytes"):
        pcm16_to_samples(b"abc")


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=200))
def test_wav_bytes_decode_to_the_same_samples(values: list[float]) -> None:
    audio = Audio(np.array(values, np.float32), RATE)
    again = decode(wav_bytes(audio))
    assert np.allclose(again.samples, audio.samples, atol=1e-4)


def test_wav_bytes_clip_what_is_too_loud() -> None:
    again = decode(wav_bytes(Audio(np.array([2.0, -2.0], np.float32), RATE)))
    assert again.samples == pytest.approx([1.0, -1.0], abs=1e-4)
