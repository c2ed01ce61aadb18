"""Vosk gives partial texts while sound flows in, and a final one."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.asr import RATE, StreamingRecognizer, load_recognizer
from edge_runtime.audio import decode_audio
from edge_runtime.errors import (
    AudioError,
    EngineError,
    LanguageError,
    ModelCorruptError,
    ModelMissingError,
)
from edge_runtime.turn import Audio

ModelFiles = Callable[[str], Mapping[str, Path]]
pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def vosk(model_files: ModelFiles) -> Iterator[StreamingRecognizer]:
    engine = load_recognizer("vosk-ko", model_files("vosk-ko"), threads=1, languages=("zh", "en"))
    assert isinstance(engine, StreamingRecognizer)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Audio:
    path = tmp_path_factory.mktemp("speech") / "said.wav"
    text = "안녕하세요. 오늘 날씨가 좋습니다. 감사합니다."
    subprocess.run(["espeak-ng", "-v", "ko", "-s", "130", "-w", path, text], check=True)
    return decode_audio(path, max_seconds=60, max_bytes=2**22)


def is_korean(text: str) -> bool:
    """Most of it: the model also writes figures and a few Latin abbreviations."""
    letters = [c for c in text if c.isalpha()]
    return 2 * sum("가" <= c <= "힣" for c in letters) > len(letters)


def test_partial_texts_flow_and_a_final_one_ends_them(
    vosk: StreamingRecognizer, speech: Audio
) -> None:
    stream = vosk.stream("ko")
    partials = []
    for start in range(0, len(speech.samples), RATE // 10):
        heard = stream.accept(speech.samples[start : start + RATE // 10])
        if heard is not None:
            partials.append(heard)
    final = stream.finish()
    assert len(partials) >= 3
    assert not any(partial.final for partial in partials)
    assert all(partial.text and is_korean(partial.text) for partial in partials)
    texts = [partial.text for partial in partials]
    assert all(a != b for a, b in pairwise(texts))
    assert final.final
    assert final.language == "ko"
    assert is_korean(final.text)
    assert 0.0 < final.confidence <= 1.0


def test_a_whole_utterance_gives_the_stream_s_text(
    vosk: StreamingRecognizer, speech: Audio
) -> None:
    heard = vosk.transcribe(speech, language=None)
    assert heard.final
    assert is_korean(heard.text)


def test_silence_is_nothing(vosk: StreamingRecognizer) -> None:
    heard = vosk.transcribe(Audio(np.zeros(2 * RATE, np.float32), RATE), language="ko")
    assert (heard.text, heard.confidence, heard.final) == ("", 0.0, True)


def test_a_cancelled_transcription_stops(vosk: StreamingRecognizer, speech: Audio) -> None:
    cancelled = threading.Event()
    cancelled.set()
    heard = vosk.transcribe(speech, language="ko", cancelled=cancelled)
    assert (heard.text, heard.final) == ("", False)


def test_another_rate_or_language_is_refused(vosk: StreamingRecognizer, speech: Audio) -> None:
    with pytest.raises(AudioError):
        vosk.transcribe(Audio(speech.samples, 8_000), language="ko")
    with pytest.raises(LanguageError, match="speaks 'ko', not 'zh'"):
        vosk.stream("zh")


def test_logging_is_silent_and_a_closed_engine_says_so(
    model_files: ModelFiles, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = load_recognizer("vosk-ko", model_files("vosk-ko"), threads=1, languages=())
    engine.smoke()
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.smoke()
    assert capfd.readouterr() == ("", "")


def test_a_missing_part_is_named(model_files: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"am/final\.mdl"):
        load_recognizer("vosk-ko", {}, threads=1, languages=())
    for name, path in model_files("vosk-ko").items():
        if name != "conf/mfcc.conf":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to(path)
    files = {"am/final.mdl": tmp_path / "am/final.mdl"}
    with pytest.raises(ModelMissingError, match=r"conf/mfcc\.conf"):
        load_recognizer("vosk-ko", files, threads=1, languages=())


def test_a_damaged_model_is_one_clear_error(model_files: ModelFiles, tmp_path: Path) -> None:
    for name, path in model_files("vosk-ko").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(path)
    (tmp_path / "am/final.mdl").unlink()
    (tmp_path / "am/final.mdl").write_bytes(b"not a model")
    files = {"am/final.mdl": tmp_path / "am/final.mdl"}
    with pytest.raises(ModelCorruptError, match="cannot be loaded"):
        load_recognizer("vosk-ko", files, threads=1, languages=())
