"""Both engines on pictures drawn here, and what they say when something is missing."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.errors import ConfigError, EngineError, EngineTimeoutError, ModelCorruptError
from edge_runtime.ocr import READERS, TextReader, create_reader
from edge_runtime.ocr import rapid as rapid_module
from edge_runtime.ocr.tesseract import join_words

RECEIPT = (
    "好邻居便利店",
    "单号：XS2026112407",
    "日期：2026年11月24日",
    "纯牛奶  13.00",
    "外套  199.00",
    "合计  ￥212.00",
)


def cjk_font(size: int) -> ImageFont.FreeTypeFont:
    asked = ["fc-match", "--format=%{file}\n%{index}", "Noto Sans CJK SC"]
    file, index = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert "CJK" in file, "Noto CJK fonts are not installed: sudo apt install fonts-noto-cjk"
    return ImageFont.truetype(file, size, index=int(index) & 0xFFFF)


def draw(*lines: str, size: int = 36) -> Image.Image:
    page = Image.new("RGB", (700, 60 + len(lines) * (size + 24)), "white")
    pen = ImageDraw.Draw(page)
    for number, text in enumerate(lines):
        pen.text((40, 30 + number * (size + 24)), text, fill="black", font=cjk_font(size))
    return page


@pytest.fixture(scope="module", params=READERS)
def reader(request: pytest.FixtureRequest) -> Iterator[TextReader]:
    engine = create_reader(request.param)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def rapid() -> Iterator[TextReader]:
    engine = create_reader("rapidocr")
    yield engine
    engine.close()


def test_smoke_test_passes(reader: TextReader) -> None:
    reader.smoke()


def test_chinese_receipt_is_read_with_its_fields(reader: TextReader) -> None:
    read = reader.read(draw(*RECEIPT), language="zh")
    assert "好邻居便利店" in read.text
    assert read.fields["total"] == "212.00"
    assert read.fields["date"] == "2026-11-24"
    assert read.fields["number"] == "XS2026112407"
    assert 0.5 < read.confidence <= 1


def test_english_lines_come_in_reading_order_with_boxes_inside_the_picture(
    reader: TextReader,
) -> None:
    page = draw("Washing machine", "Model No.: WM-8000X", "Keep the door closed")
    read = reader.read(page, language="en")
    assert [line.text.split()[0] for line in read.lines] == ["Washing", "Model", "Keep"]
    assert read.fields["model"] == "WM-8000X"
    for line in read.lines:
        left, top, right, bottom = line.box
        assert 0 <= left < right <= page.width
        assert 0 <= top < bottom <= page.height
        assert 0 <= line.confidence <= 1


def test_blank_picture_gives_no_text(reader: TextReader) -> None:
    read = reader.read(Image.new("RGB", (300, 200), "white"), language=None)
    assert (read.text, read.lines, dict(read.fields), read.confidence) == ("", (), {}, 0)


@pytest.mark.parametrize("size", [(8, 8), (4000, 8), (8, 1200)])
def test_odd_shapes_are_survived(reader: TextReader, size: tuple[int, int]) -> None:
    assert isinstance(reader.read(Image.new("RGB", size, "grey"), language="en").text, str)


def test_a_cancelled_read_stops_at_once(reader: TextReader) -> None:
    cancelled = Event()
    cancelled.set()
    assert reader.read(draw(*RECEIPT), language="zh", cancelled=cancelled).text == ""


@pytest.mark.parametrize("name", READERS)
def test_a_closed_reader_says_so(name: str) -> None:
    engine = create_reader(name)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.read(draw("A"), language="en")


def test_an_upside_down_line_is_read(rapid: TextReader) -> None:
    page = draw("TOTAL 42.00 EUR").rotate(180)
    assert "TOTAL 42.00" in rapid.read(page, language="en").text


def test_rapidocr_never_reaches_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("rapidocr.utils.download_file.DownloadFile.run", refuse)
    engine = create_reader("rapidocr")
    assert "2026" in engine.read(draw(*RECEIPT), language="zh").text


def test_a_tampered_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rapid_module.SHA256, rapid_module.DETECTOR, "0" * 64)
    with pytest.raises(ModelCorruptError, match="not the pinned file"):
        create_reader("rapidocr")


def test_rapidocr_missing_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapid_module, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="pip install"):
        create_reader("rapidocr")


@pytest.mark.parametrize("module", ["rapid", "tesseract"])
def test_a_picture_that_takes_too_long_is_a_timeout(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"edge_runtime.ocr.{module}.READ_TIMEOUT_S", 0.001)
    engine = create_reader("rapidocr" if module == "rapid" else module)
    with pytest.raises(EngineTimeoutError, match="took longer"):
        engine.read(draw(*RECEIPT * 3), language="zh")


def test_a_missing_tesseract_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytesseract.pytesseract.tesseract_cmd", "no-such-tesseract")
    with pytest.raises(EngineError, match="sudo apt install tesseract-ocr"):
        create_reader("tesseract")


def test_missing_language_data_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytesseract.get_languages", lambda: ["eng", "osd"])
    engine = create_reader("tesseract")
    with pytest.raises(EngineError, match=r"sudo apt install tesseract-ocr-chi-sim$"):
        engine.read(draw("A"), language="zh")


def test_chinese_characters_are_joined_without_spaces() -> None:
    assert (
        join_words(["合", "计", "：", "52.70", "元", "Total", "due"]) == "合计： 52.70 元 Total due"
    )


def test_an_unknown_engine_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no text-reading engine 'none'"):
        create_reader("none")


def test_importing_the_room_loads_no_engine() -> None:
    heavy = {"rapidocr", "cv2", "onnxruntime", "pytesseract"}
    code = f"import sys, edge_runtime.ocr; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
