"""What nobody should hand over: each a clear error, quickly, and the next turn unharmed."""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from assistant_kit import ask, turn
from PIL import Image

from edge_runtime.assistant import Assistant
from edge_runtime.audio import wav_bytes
from edge_runtime.bundles import opened
from edge_runtime.config import Settings
from edge_runtime.errors import (
    AudioError,
    EdgeRuntimeError,
    ImageError,
    InputError,
    LanguageError,
    ModelCorruptError,
    ModelMissingError,
    StorageError,
    TextError,
)
from edge_runtime.rooms import Rooms

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("assistant")]

Make = Callable[[Path], Path]
HOUR_S = 3600


def refused(assistant: Assistant, kind: type[EdgeRuntimeError], **request: Any) -> EdgeRuntimeError:
    """The error of a turn that is refused; the turn after it is answered as if nothing was."""
    with pytest.raises(kind) as caught:
        turn(assistant, session="counter-1", **request)
    error = caught.value
    assert error.exit_code in (2, 3, 4, 5)
    assert 10 < len(error.message) < 300
    assert "\n" not in error.message
    after = ask(assistant, "营业时间是几点?", session="counter-1")
    assert (after.decision, bool(after.reply)) == ("answer", True)
    return error


# ---- text ----


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\t ",
        pytest.param("外套能退吗" * 700_000, id="10 MB of Chinese"),
        pytest.param("a" * 10_000_000, id="10 MB of one letter"),
        pytest.param("?" * 2001, id="one character too many"),
        "\x00\x01\x02\x1b\x07",
        "\u200b\u200d\ufeff\u202e",
        "\ud800\udfff",
    ],
)
def test_text_that_is_no_question(assistant: Assistant, text: str) -> None:
    refused(assistant, TextError, text=text)


@pytest.mark.parametrize(
    "text",
    [
        "外套\x00能\x1b[31m退\x07吗?",
        "外套\ud800能退吗?",
        "外\u200b套\u202e能退吗?",
        "外套能退吗?" + "😀" * 500,
        "'; DELETE FROM turns; -- 外套能退吗?",
        '外套 NEAR(" * ^ 能退吗?',
    ],
)
def test_odd_characters_in_a_question_do_no_harm(assistant: Assistant, text: str) -> None:
    done = ask(assistant, text)
    assert done.reply
    assert done.sources == ("returns#clothing",)
    done.reply.encode()
    assert not {"\x00", "\x1b", "\x07"} & set(done.reply + done.normalized)


@pytest.mark.parametrize("language", ["klingon", "x", "zz", "12", "../etc", "z" * 10_000])
def test_a_language_nobody_speaks(assistant: Assistant, language: str) -> None:
    refused(assistant, LanguageError, text="hello", language=language)


# ---- sound ----


def silence(seconds: float, rate: int = 16_000) -> bytes:
    """A FLAC file of that length, written without holding it."""
    content = io.BytesIO()
    with soundfile.SoundFile(
        content, "w", samplerate=rate, channels=1, format="FLAC", subtype="PCM_16"
    ) as file:
        block = np.zeros(rate * 10, dtype=np.int16)
        for _ in range(int(seconds / 10)):
            file.write(block)
    return content.getvalue()


def hour_of_flac(folder: Path) -> Path:
    path = folder / "hour.flac"
    path.write_bytes(silence(HOUR_S))
    return path


def hour_of_wav(folder: Path) -> Path:
    """A whole hour by its header, and by its size, of which the disk holds nothing."""
    size = HOUR_S * 16_000 * 2
    path = folder / "hour.wav"
    form = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + struct.pack("<I", 16) + form
    with path.open("wb") as file:
        file.write(head + b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    return path


def empty(folder: Path) -> Path:
    path = folder / "nothing"
    path.touch()
    return path


def truncated_wav(folder: Path) -> Path:
    path = folder / "cut.wav"
    whole = io.BytesIO()
    soundfile.write(whole, np.zeros(32_000, dtype=np.float32), 16_000, format="WAV")
    path.write_bytes(whole.getvalue()[:20_000])
    return path


def truncated_flac(folder: Path) -> Path:
    path = folder / "cut.flac"
    rng = np.random.default_rng(1)
    whole = io.BytesIO()
    soundfile.write(whole, rng.uniform(-0.5, 0.5, 32_000), 16_000, format="FLAC")
    content = whole.getvalue()
    path.write_bytes(content[: len(content) // 2])
    return path


def video(folder: Path) -> Path:
    """A film without a soundtrack."""
    path = folder / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for shade in range(10):
            pixels = np.full((64, 64, 3), shade * 20, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def text_file(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("This is neither a picture nor a sound.\n" * 200)
    return path


def a_folder(folder: Path) -> Path:
    return folder


def missing(folder: Path) -> Path:
    return folder / "no such file"


@pytest.mark.parametrize(
    "make",
    [
        hour_of_flac,
        hour_of_wav,
        empty,
        truncated_wav,
        truncated_flac,
        video,
        text_file,
        a_folder,
        missing,
    ],
)
def test_sound_that_is_none(assistant: Assistant, tmp_path: Path, make: Make) -> None:
    path = make(tmp_path)
    error = refused(assistant, AudioError, audio=path)
    assert path.name in error.message or "audio" in error.message.casefold()


def test_an_hour_of_sound_is_refused_in_bounded_memory(
    assistant: Assistant, tmp_path: Path
) -> None:
    for make in (hour_of_flac, hour_of_wav):
        path = make(tmp_path)
        before = peak_mb(reset=True)
        refused(assistant, AudioError, audio=path)
        assert peak_mb() - before < 150, make.__name__


def peak_mb(*, reset: bool = False) -> int:
    """This process's peak of resident memory, in MiB, since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


# ---- pictures ----


def huge_png(folder: Path) -> Path:
    """30,000 × 30,000 white pixels in a few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    side = 30_000
    packer = zlib.compressobj(9)
    row = b"\x00" + b"\xff" * (side // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path = folder / "huge.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    return path


def truncated_picture(form: str) -> Make:
    def make(folder: Path) -> Path:
        rng = np.random.default_rng(2)
        noise = Image.fromarray(rng.integers(0, 255, (300, 300, 3), dtype=np.uint8))
        whole = io.BytesIO()
        noise.save(whole, form)
        path = folder / f"cut.{form.lower()}"
        path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        return path

    return make


def svg(folder: Path) -> Path:
    path = folder / "drawing.svg"
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>')
    return path


@pytest.mark.parametrize(
    "make",
    [
        huge_png,
        truncated_picture("PNG"),
        truncated_picture("JPEG"),
        text_file,
        svg,
        empty,
        a_folder,
        missing,
        video,
        hour_of_wav,
    ],
)
def test_a_picture_that_is_none(assistant: Assistant, tmp_path: Path, make: Make) -> None:
    path = make(tmp_path)
    before = peak_mb(reset=True)
    error = refused(assistant, ImageError, image=path)
    assert peak_mb() - before < 150
    assert any(word in error.message for word in (path.name, "file", "picture"))


def test_a_bad_picture_with_a_good_question_is_still_an_error(
    assistant: Assistant, tmp_path: Path
) -> None:
    refused(assistant, InputError, text="开发票", image=text_file(tmp_path))


# ---- the device itself ----


def test_without_models_the_error_names_the_command(
    settings: Settings, tmp_path: Path, spoken: bytes
) -> None:
    bare = settings.model_copy(
        update={"models_dir": tmp_path / "models", "data_dir": tmp_path / "data"}
    )
    assistant = Assistant(bare)
    with pytest.raises(ModelMissingError) as caught:
        ask(assistant, audio=spoken)
    assert caught.value.exit_code == 3
    assert "edge-runtime models pull whisper-base" in caught.value.hint
    assistant.close()


@pytest.fixture(scope="module")
def spoken(rooms: Rooms) -> bytes:
    return wav_bytes(rooms.say_all("外套能退吗？", "zh", ""))


def test_a_tampered_model_is_never_loaded(
    settings: Settings, tmp_path: Path, spoken: bytes
) -> None:
    model = settings.engines.asr
    own = tmp_path / "models"
    shutil.copytree(settings.models_dir / "installed" / model, own / "installed" / model)
    files = [path for path in (own / "installed").rglob("*") if path.is_file()]
    large = max(files, key=lambda path: path.stat().st_size)
    large.chmod(0o644)
    with large.open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    tampered = Assistant(
        settings.model_copy(update={"models_dir": own, "data_dir": tmp_path / "data"})
    )
    with pytest.raises(ModelCorruptError) as caught:
        ask(tampered, audio=spoken)
    assert caught.value.exit_code == 3
    assert f"edge-runtime models pull {model}" in caught.value.hint
    tampered.close()


def test_a_tampered_encoder_is_never_loaded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = shutil.copytree(opened.SHIPPED / settings.engines.encoder, tmp_path / "encoder")
    with (shipped / "files" / "trunk.onnx").open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    shipped.rename(tmp_path / settings.engines.encoder)
    monkeypatch.setattr(opened, "SHIPPED", tmp_path)
    tampered = Assistant(settings.model_copy(update={"data_dir": tmp_path / "data"}))
    with pytest.raises(ModelCorruptError) as caught:
        ask(tampered, "外套能退吗?")
    assert caught.value.exit_code == 3
    assert "Install edge-runtime again" in caught.value.hint
    tampered.close()


def test_a_place_that_cannot_be_written_is_told_at_the_start(settings: Settings) -> None:
    with pytest.raises(StorageError) as caught:
        Assistant(settings.model_copy(update={"data_dir": Path("/sys/kernel/edge-runtime")}))
    assert caught.value.exit_code == 5
    assert "EDGE_DATA_DIR" in caught.value.hint
