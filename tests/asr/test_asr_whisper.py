"""Whisper hears what was said, says nothing when nothing was, and stops when told."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.asr import RATE, Recognizer, load_recognizer
from edge_runtime.audio import decode_audio
from edge_runtime.errors import (
    AudioError,
    ConfigError,
    EngineError,
    LanguageError,
    ModelCorruptError,
    ModelMissingError,
)
from edge_runtime.turn import Audio

ModelFiles = Callable[[str], Mapping[str, Path]]
pytestmark = pytest.mark.models

TEXT = "I would like to return the jacket that I bought yesterday."


@pytest.fixture(scope="module")
def whisper(model_files: ModelFiles) -> Iterator[Recognizer]:
    engine = load_recognizer(
        "whisper-base", model_files("whisper-base"), threads=2, languages=("zh", "en", "es")
    )
    yield engine
    engine.close()


def say(text: str, path: Path) -> Audio:
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", path, text], check=True)
    return decode_audio(path, max_seconds=120, max_bytes=2**23)


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Audio:
    return say(TEXT, tmp_path_factory.mktemp("speech") / "question.wav")


@pytest.mark.parametrize("language", ["en", None])
def test_an_english_question_is_heard(
    whisper: Recognizer, question: Audio, language: str | None
) -> None:
    heard = whisper.transcribe(question, language=language)
    assert heard.language == "en"
    assert heard.final
    assert {"return", "jacket", "yesterday"} <= set(heard.text.lower().strip(".").split())
    assert 0.5 < heard.confidence <= 1.0


def test_the_same_sound_gives_the_same_text(whisper: Recognizer, question: Audio) -> None:
    first = whisper.transcribe(question, language="en")
    assert whisper.transcribe(question, language="en") == first


def test_hints_in_another_script_change_nothing(whisper: Recognizer, question: Audio) -> None:
    plain = whisper.transcribe(question, language="en")
    assert whisper.transcribe(question, language="en", hints=("退货", "发票")) == plain


def test_speech_longer_than_a_window_is_heard_to_its_end(
    whisper: Recognizer, tmp_path: Path
) -> None:
    story = (
        f"{TEXT} The sleeves are too long for my arms. My brother gave me the wrong size. "
        "The shop assistant was very friendly to us. We came here by bus this morning. "
        "The weather outside is cold and windy. I still have the receipt in my wallet. "
        "Could you please give me the money back today? My sister also wants a pair of shoes. "
        "She likes the blue ones in the window. We will wait here next to the door. "
        "After that we are going to the restaurant for breakfast."
    )
    audio = say(story, tmp_path / "story.wav")
    assert audio.seconds > 30
    heard = whisper.transcribe(audio, language="en")
    words = set(heard.text.lower().replace(".", "").replace(",", "").split())
    assert {"jacket", "brother", "receipt", "money", "restaurant"} <= words


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_too_little_sound_is_nothing(whisper: Recognizer, seconds: float) -> None:
    audio = Audio(np.zeros(int(seconds * RATE), np.float32), RATE)
    heard = whisper.transcribe(audio, language="en")
    assert (heard.text, heard.confidence, heard.final) == ("", 0.0, True)


def test_the_prompt_is_not_taken_for_speech(whisper: Recognizer) -> None:
    silence = Audio(np.zeros(3 * RATE, np.float32), RATE)
    assert whisper.transcribe(silence, language="zh").text == ""


@pytest.mark.parametrize("language", ["zh", "en", None])
def test_noise_is_nothing(whisper: Recognizer, language: str | None) -> None:
    hiss = 0.1 * np.random.default_rng(1).standard_normal(3 * RATE)
    heard = whisper.transcribe(Audio(hiss.astype(np.float32), RATE), language=language)
    assert (heard.text, heard.confidence) == ("", 0.0)


def test_a_cancelled_transcription_stops_without_text(whisper: Recognizer, question: Audio) -> None:
    cancelled = threading.Event()
    cancelled.set()
    heard = whisper.transcribe(question, language="en", cancelled=cancelled)
    assert (heard.text, heard.final) == ("", False)


def test_several_threads_may_ask_at_once(whisper: Recognizer, question: Audio) -> None:
    texts: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: texts.append(whisper.transcribe(question, language="en").text)
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 3
    assert len(set(texts)) == 1


def test_another_rate_or_language_is_refused(whisper: Recognizer, question: Audio) -> None:
    with pytest.raises(AudioError, match="8000 Hz"):
        whisper.transcribe(Audio(question.samples, 8_000), language="en")
    with pytest.raises(LanguageError, match="'xx'"):
        whisper.transcribe(question, language="xx")


def test_the_engine_passes_its_own_check_and_can_be_closed(
    model_files: ModelFiles, question: Audio
) -> None:
    engine = load_recognizer(
        "whisper-tiny-en", model_files("whisper-tiny-en"), threads=1, languages=("zh", "en")
    )
    engine.smoke()
    assert isinstance(engine, Recognizer)
    assert engine.languages == ("en",)
    assert "jacket" in engine.transcribe(question, language=None).text.lower()
    with pytest.raises(LanguageError):
        engine.transcribe(question, language="zh")
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.transcribe(question, language="en")


def test_a_missing_file_is_named(model_files: ModelFiles) -> None:
    files = dict(model_files("whisper-tiny-en"))
    del files["model.bin"]
    with pytest.raises(ModelMissingError, match=r"model\.bin"):
        load_recognizer("whisper-tiny-en", files, threads=1, languages=("en",))


@pytest.mark.parametrize("broken", ["model.bin", "tokenizer.json", "config.json"])
def test_a_damaged_file_is_one_clear_error(
    model_files: ModelFiles, tmp_path: Path, broken: str
) -> None:
    files = {}
    for name, path in model_files("whisper-tiny-en").items():
        files[name] = tmp_path / name
        if name == broken:
            files[name].write_bytes(path.read_bytes()[:100])
        else:
            files[name].symlink_to(path)
    with pytest.raises(ModelCorruptError, match="cannot be loaded"):
        load_recognizer("whisper-tiny-en", files, threads=1, languages=("en",))


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="'kaldi-en'"):
        load_recognizer("kaldi-en", {}, threads=1, languages=("en",))
