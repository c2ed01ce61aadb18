"""Speech is found where it is, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.audio import (
    RATE,
    Endpointer,
    EndpointSettings,
    SpeechEvent,
    decode_audio,
    find_speech,
    trim_silence,
)
from edge_runtime.errors import AudioError, ConfigError
from edge_runtime.turn import Audio, Samples


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    path: Path = tmp_path_factory.mktemp("speech") / "said.wav"
    text = "I would like to return the jacket that I bought yesterday"
    subprocess.run(["espeak-ng", "-v", "en-us", "-w", path, text], check=True)
    return decode_audio(path, max_seconds=60, max_bytes=2**22).samples


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), np.float32)


def noise(seconds: float, level: float = 0.01) -> Samples:
    generator = np.random.default_rng(1)
    return (level * generator.standard_normal(int(seconds * RATE))).astype(np.float32)


def events_of(samples: Samples, chunk: int, **options: float) -> list[SpeechEvent]:
    endpointer = Endpointer(EndpointSettings(**options))
    events: list[SpeechEvent] = []
    for start in range(0, len(samples), chunk):
        events += endpointer.feed(samples[start : start + chunk])
    return events + endpointer.flush()


def test_two_sentences_give_two_utterances_where_they_were_said(speech: Samples) -> None:
    first = int(1.5 * RATE)
    second = first + len(speech) + 2 * RATE
    sound = np.concatenate([silence(1.5), speech, silence(2), speech, silence(1.5)])
    events = events_of(sound, 1600)
    assert [e.kind for e in events] == ["speech_start", "speech_end"] * 2
    wanted = [first, first + len(speech), second, second + len(speech)]
    assert [e.offset for e in events] == pytest.approx(wanted, abs=0.5 * RATE)


def test_the_end_is_reported_once_the_silence_has_lasted(speech: Samples) -> None:
    endpointer = Endpointer(EndpointSettings(min_silence=0.6))
    assert [e.kind for e in endpointer.feed(np.concatenate([speech, silence(0.2)]))] == [
        "speech_start"
    ]
    assert endpointer.speaking
    assert [e.kind for e in endpointer.feed(silence(1.0))] == ["speech_end"]
    assert not endpointer.speaking


@pytest.mark.parametrize("sound", [silence(3), noise(3), noise(3, 0.2), silence(0)])
def test_silence_and_noise_are_not_speech(sound: Samples) -> None:
    assert find_speech(Audio(sound, RATE)) == ()
    assert len(trim_silence(Audio(sound, RATE)).samples) == 0


def test_trimming_keeps_the_speech_and_drops_the_silence(speech: Samples) -> None:
    sound = np.concatenate([silence(3), speech, silence(3)])
    trimmed = trim_silence(Audio(sound, RATE))
    assert trimmed.rate == RATE
    assert trimmed.seconds == pytest.approx(len(speech) / RATE, abs=0.8)


def test_speech_still_going_on_is_ended_by_flush(speech: Samples) -> None:
    spans = find_speech(Audio(speech[: len(speech) // 2], RATE))
    assert len(spans) == 1
    assert spans[0][1] == len(speech) // 2


def test_endless_speech_is_ended_at_the_limit(speech: Samples) -> None:
    spans = find_speech(Audio(np.tile(speech, 4), RATE), EndpointSettings(max_speech=2.0))
    assert len(spans) > 3
    assert all(end - start <= 2.5 * RATE for start, end in spans)


def test_reset_forgets_the_stream(speech: Samples) -> None:
    endpointer = Endpointer()
    before = endpointer.feed(speech) + endpointer.flush()
    endpointer.reset()
    assert endpointer.feed(speech) + endpointer.flush() == before


@settings(max_examples=10, deadline=None)
@given(chunk=st.integers(1, 20_000))
def test_events_do_not_depend_on_how_the_stream_is_cut(speech: Samples, chunk: int) -> None:
    sound = np.concatenate([speech, silence(1), speech])[: 6 * RATE]
    assert events_of(sound, max(chunk, 37)) == events_of(sound, len(sound))


@settings(max_examples=25, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(["speech", "silence", "noise", "click"]), max_size=5),
    min_silence=st.floats(0.1, 1.0),
    pad=st.floats(0.0, 0.5),
)
def test_spans_are_ordered_apart_and_inside(
    speech: Samples, pieces: list[str], min_silence: float, pad: float
) -> None:
    parts = {
        "speech": speech[:RATE],
        "silence": silence(0.7),
        "noise": noise(0.5, 0.1),
        "click": np.ones(200, np.float32),
    }
    sound = np.concatenate([silence(0), *(parts[piece] for piece in pieces)])
    spans = find_speech(Audio(sound, RATE), EndpointSettings(min_silence=min_silence, pad=pad))
    edges = [offset for span in spans for offset in span]
    assert edges == sorted(edges)
    assert all(0 <= start < end <= len(sound) for start, end in spans)


def test_only_16_khz_is_taken() -> None:
    with pytest.raises(AudioError, match="8000 Hz"):
        find_speech(Audio(silence(1), 8_000))


@pytest.mark.parametrize("wrong", [{"threshold": 1.5}, {"release": 0.9}, {"pad": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        EndpointSettings(**wrong)
