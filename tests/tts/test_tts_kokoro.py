"""Kokoro: phonemes, chunks and sound."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import (
    EngineError,
    LanguageError,
    ModelCorruptError,
    ModelMissingError,
    TextError,
)
from edge_runtime.tts.kokoro import RATE, KokoroSynthesizer, split_phonemes
from edge_runtime.tts.phonemes import Phonemizer

ModelFiles = Callable[[str], Mapping[str, Path]]
MODEL = "kokoro-82m-int8"


@pytest.fixture(scope="module")
def kokoro(model_files: ModelFiles) -> Iterator[KokoroSynthesizer]:
    engine = KokoroSynthesizer(model_files(MODEL), 2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def phonemize() -> Phonemizer:
    return Phonemizer()


@given(st.text(alphabet="abcdefɛ ,.!;", max_size=500), st.integers(10, 60))
def test_chunks_are_bounded_and_lose_no_sound(phonemes: str, limit: int) -> None:
    chunks = split_phonemes(phonemes, limit)
    assert all(0 < len(chunk) <= limit for chunk in chunks)
    assert [c for c in "".join(chunks) if c.isalpha()] == [c for c in phonemes if c.isalpha()]


def test_chunks_end_with_a_sentence_where_there_is_one() -> None:
    assert split_phonemes("one two, three. four five, six", 20) == [
        "one two, three.",
        "four five, six",
    ]


def test_latin_words_in_chinese_are_read_as_english(phonemize: Phonemizer) -> None:
    assert phonemize("您好，iPhone", "zh") == "ni↗nxau↓, ˈI fˈOn"


def test_punctuation_survives_phonemes(phonemize: Phonemizer) -> None:
    assert phonemize("Yes, no! (Why?) 12.5", "en").count(",") == 1
    assert phonemize("¿Qué? Sí.", "es") == "kˈe? sˈi."


@pytest.mark.models
def test_every_phoneme_of_shop_text_is_in_the_vocabulary(
    phonemize: Phonemizer, model_files: ModelFiles
) -> None:
    vocabulary = json.loads(model_files(MODEL)["vocab.json"].read_text("utf-8"))["vocab"]
    for language, text in {
        "zh": "您好，您的儿子二月买的绿色女装、热水壶和日用品，可以退货吗？嗯，请稍等！",
        "en": "Hello, would you like to change the delivery address? Thirty-three euros.",
        "es": "¿Quiere cambiar la dirección? El niño llegó ayer; muchas gracias.",
        "fr": "Bonjour, ça coûte un euro.",
        "it": "Ciao, perché gli gnocchi?",
        "pt": "São cinco pães.",
    }.items():
        missing = set(phonemize(text, language)) - set(vocabulary)
        assert not missing, (language, missing)


@pytest.mark.models
@pytest.mark.parametrize(
    ("language", "text"),
    [("zh", "您好，欢迎光临。"), ("en", "Hello, welcome."), ("es", "Buenos días.")],
)
def test_speech_is_finite_level_and_plausibly_long(
    kokoro: KokoroSynthesizer, language: str, text: str
) -> None:
    audio = kokoro.synthesize(text, language)
    assert audio.rate == RATE == 24_000
    assert audio.samples.dtype == np.float32
    assert np.isfinite(audio.samples).all()
    assert 0.5 < audio.seconds < 4
    assert 0.2 < np.abs(audio.samples).max() <= 0.95
    assert abs(audio.samples[0]) < 1e-3
    assert abs(audio.samples[-1]) < 1e-3


@pytest.mark.models
def test_all_its_languages_have_a_voice_and_japanese_is_left_to_others(
    kokoro: KokoroSynthesizer,
) -> None:
    assert kokoro.languages == {"zh", "en", "es", "fr", "it", "pt", "hi"}
    kokoro.smoke()


@pytest.mark.models
def test_a_voice_it_lacks_means_the_default_one(kokoro: KokoroSynthesizer) -> None:
    usual = kokoro.synthesize("Hi.", "en")
    unknown = kokoro.synthesize("Hi.", "en", voice="../../etc/passwd")
    np.testing.assert_allclose(unknown.samples, usual.samples, atol=1e-3)


@pytest.mark.models
@pytest.mark.parametrize("text", ["", " \n ", "😀🎉", "……", "***", "\x07"])
def test_nothing_to_say_is_empty_sound(kokoro: KokoroSynthesizer, text: str) -> None:
    assert kokoro.synthesize(text, "zh").seconds == 0


@pytest.mark.models
def test_unknown_language_and_too_much_text_are_refused(kokoro: KokoroSynthesizer) -> None:
    with pytest.raises(LanguageError, match="zh"):
        kokoro.synthesize("hallo", "de")
    with pytest.raises(TextError, match="5000"):
        kokoro.synthesize("好" * 5000, "zh")


@pytest.mark.models
def test_cancelled_stops_a_run_in_progress(kokoro: KokoroSynthesizer) -> None:
    cancelled = threading.Event()
    timer = threading.Timer(0.2, cancelled.set)
    timer.start()
    assert (
        kokoro.synthesize("好的，马上为您办理退货。" * 100, "zh", cancelled=cancelled).seconds == 0
    )
    timer.join()


@pytest.mark.models
def test_closed_engine_says_so(model_files: ModelFiles) -> None:
    engine = KokoroSynthesizer(model_files(MODEL), 1)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.synthesize("hello", "en")


@pytest.mark.models
def test_missing_and_damaged_files_are_named(model_files: ModelFiles, tmp_path: Path) -> None:
    files = dict(model_files(MODEL))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"not a model")
    with pytest.raises(ModelMissingError, match=r"vocab\.json"):
        KokoroSynthesizer({"model.onnx": files["model.onnx"]}, 1)
    with pytest.raises(ModelCorruptError, match="cannot be loaded"):
        KokoroSynthesizer({**files, "model.onnx": damaged}, 1)
    with pytest.raises(ModelCorruptError, match="vocabulary"):
        KokoroSynthesizer({**files, "vocab.json": damaged}, 1)
    with pytest.raises(ModelCorruptError, match="voice"):
        KokoroSynthesizer({**files, "voices/af_heart.bin": damaged}, 1).synthesize("hi", "en")


@pytest.mark.models
def test_without_espeak_the_command_to_install_it_is_named(
    model_files: ModelFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="apt-get install espeak-ng"):
        KokoroSynthesizer(model_files(MODEL), 1)


@pytest.mark.models
@pytest.mark.parametrize(
    ("language", "text", "heard"),
    [
        ("zh", "我们的营业时间是9:00-22:00。", "营业时间是9点到22点"),
        ("en", "It costs $19.99, or $15 for members.", "$19.99"),
        ("es", "Todos los zapatos tienen un 15% de descuento.", "15%"),
    ],
)
def test_a_recogniser_understands_what_is_said(
    kokoro: KokoroSynthesizer, model_files: ModelFiles, language: str, text: str, heard: str
) -> None:
    import soxr
    from faster_whisper import WhisperModel

    folder = model_files("whisper-base")["model.bin"].parent
    listener = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=2)
    audio = kokoro.synthesize(text, language)
    segments, _ = listener.transcribe(
        soxr.resample(audio.samples, RATE, 16_000),
        language=language,
        beam_size=5,
        temperature=0,
        initial_prompt="以下是普通话的句子，简体中文。" if language == "zh" else None,
    )
    assert heard in "".join(segment.text for segment in segments).replace(" ", "")
