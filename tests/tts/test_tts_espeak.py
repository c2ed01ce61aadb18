"""The espeak-ng program as an engine, and the shaping of sound."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_runtime.errors import EngineError, EngineTimeoutError, LanguageError, TextError
from edge_runtime.tts import program
from edge_runtime.tts.espeak import EspeakSynthesizer
from edge_runtime.tts.shaping import shape_speech


@pytest.fixture(scope="module")
def espeak() -> EspeakSynthesizer:
    return EspeakSynthesizer()


@pytest.mark.parametrize(
    ("language", "text"),
    [("zh", "您好，价格¥199"), ("en", "Hello there"), ("de", "Guten Tag"), ("ja", "こんにちは")],
)
def test_it_speaks_many_languages(espeak: EspeakSynthesizer, language: str, text: str) -> None:
    audio = espeak.synthesize(text, language)
    assert 0.3 < audio.seconds < 8
    assert audio.rate == 22_050
    assert 0.05 < np.abs(audio.samples).max() <= 0.95


def test_smoke_passes(espeak: EspeakSynthesizer) -> None:
    espeak.smoke()


@pytest.mark.parametrize("text", ["", "   ", "😀🎉", "***"])
def test_nothing_to_say_is_empty_sound(espeak: EspeakSynthesizer, text: str) -> None:
    assert espeak.synthesize(text, "en").seconds == 0


@pytest.mark.parametrize(
    "text", ["-v fr --help", "<speak>hi</speak>", "[[h@l'oU]]", "a\x00b; rm x"]
)
def test_text_is_never_an_option_or_a_command(espeak: EspeakSynthesizer, text: str) -> None:
    assert espeak.synthesize(text, "en").seconds > 0.1


def test_unknown_language_and_too_much_text_are_refused(espeak: EspeakSynthesizer) -> None:
    with pytest.raises(LanguageError, match="speaks"):
        espeak.synthesize("nuqneH", "tlh")
    with pytest.raises(TextError, match="5000"):
        espeak.synthesize("a" * 5000, "en")


def test_cancelled_before_it_starts_is_empty_sound(espeak: EspeakSynthesizer) -> None:
    cancelled = threading.Event()
    cancelled.set()
    assert espeak.synthesize("Hello", "en", cancelled=cancelled).seconds == 0


def test_missing_program_names_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="apt-get install espeak-ng"):
        EspeakSynthesizer()


def _script(folder: Path, body: str) -> str:
    path = folder / "espeak-ng"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_program_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_TIMEOUT_S", 0.1)
    with pytest.raises(EngineTimeoutError):
        program.run_program(_script(tmp_path, "exec sleep 30"), [], "x" * 100_000)


def test_a_running_program_is_stopped_when_cancelled(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    assert program.run_program(_script(tmp_path, "exec sleep 30"), [], "x", cancelled) == b""


def test_a_failing_program_is_an_engine_error_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no voice data"):
        program.run_program(_script(tmp_path, "echo no voice data >&2; exit 3"), [])


def test_shaping_trims_silence_and_keeps_a_short_pause() -> None:
    rate = 8000
    tone = 0.3 * np.sin(np.arange(rate) * 0.5).astype(np.float32)
    silence = np.zeros(rate, np.float32)
    shaped = shape_speech(np.concatenate([silence, tone, silence]), rate, tail_s=0.2)
    assert len(shaped) / rate == pytest.approx(1.23, abs=0.02)
    assert shaped[0] == shaped[-1] == 0


@given(
    arrays.arrays(
        np.float32,
        st.integers(0, 400),
        elements=st.floats(-1e6, 1e6, width=32) | st.just(float("nan")) | st.just(float("inf")),
    )
)
def test_shaped_sound_never_clips_and_is_finite(samples: np.ndarray) -> None:
    shaped = shape_speech(samples, 8000)
    assert np.isfinite(shaped).all()
    assert np.abs(shaped).max(initial=0) <= 0.951
