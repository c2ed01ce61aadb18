"""Tesseract 5 through pytesseract: small, for the ``lite`` profile."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from threading import Event

from PIL import Image, ImageOps

from edge_runtime.errors import EngineError, EngineTimeoutError
from edge_runtime.ocr.base import READ_TIMEOUT_S
from edge_runtime.ocr.picture import picture_text, smoke_picture
from edge_runtime.turn import PictureText, TextLine

_DATA: Mapping[str, tuple[str, ...]] = {
    "zh": ("chi_sim", "eng"),
    "en": ("eng",),
    "es": ("spa", "eng"),
    "ms": ("msa", "eng"),
    "de": ("deu", "eng"),
    "fr": ("fra", "eng"),
    "it": ("ita", "eng"),
    "pt": ("por", "eng"),
    "ja": ("jpn", "eng"),
    "ko": ("kor", "eng"),
    "ru": ("rus", "eng"),
}
_UNKNOWN = ("chi_sim", "eng")
_INSTALL = "Run: sudo apt install tesseract-ocr tesseract-ocr-eng tesseract-ocr-chi-sim"
# Measured on scanned receipts: one uniform block (6) misreads a quarter fewer characters than
# automatic segmentation (3), and autocontrast makes it worse. Deskewing is left out: it gained
# nothing there, but those scans are nearly straight.
_LAYOUT = "--psm 6"
_PAGE_PIXELS = 4_000_000
_MAX_ENLARGEMENT = 3.0
_MIN_CONFIDENCE = 0.2


class TesseractReader:
    """Runs the ``tesseract`` program once a picture; nothing stays in memory between pictures.

    Raises:
        EngineError: pytesseract, the program or its English data is not installed.
    """

    name = "tesseract"

    def __init__(self) -> None:
        try:
            import pytesseract  # type: ignore[import-untyped]
        except ImportError as error:
            raise EngineError(
                "pytesseract is not installed.", hint="Run: pip install 'edge-runtime[device]'"
            ) from error
        try:
            self._installed = frozenset(pytesseract.get_languages())
        except (pytesseract.TesseractNotFoundError, pytesseract.TesseractError, OSError) as error:
            raise EngineError("The program 'tesseract' is not installed.", hint=_INSTALL) from error
        if "eng" not in self._installed:
            raise EngineError("Tesseract has no English data.", hint=_INSTALL)
        self._closed = False

    def read(
        self,
        image: Image.Image,
        *,
        language: str | None,
        cancelled: Event | None = None,
    ) -> PictureText:
        """See :meth:`TextReader.read`. Cancelling takes effect before the program starts.

        Raises:
            EngineError: besides, the data of ``language`` is not installed.
        """
        if self._closed:
            raise EngineError("Tesseract was closed; construct a new reader.")
        data = self._data_for(language)
        if cancelled is not None and cancelled.is_set():
            return picture_text(())
        page, scale = _prepare(image)
        words = _run(page, data)
        return picture_text(_lines(words, scale))

    def smoke(self) -> None:
        found = self.read(smoke_picture(), language="en").text
        if "42" not in found:
            raise EngineError(f"Tesseract read {found!r} from its test picture.", hint=_INSTALL)

    def close(self) -> None:
        self._closed = True

    def _data_for(self, language: str | None) -> str:
        if language is None:
            return "+".join(name for name in _UNKNOWN if name in self._installed)
        wanted = _DATA.get(language, ("eng",))
        missing = [name for name in wanted if name not in self._installed]
        if missing:
            packages = " ".join(f"tesseract-ocr-{name.replace('_', '-')}" for name in missing)
            raise EngineError(
                f"Tesseract cannot read '{language}': its data {', '.join(missing)} is missing.",
                hint=f"Run: sudo apt install {packages}",
            )
        return "+".join(wanted)


def _prepare(image: Image.Image) -> tuple[Image.Image, float]:
    """Grey page enlarged to the size Tesseract reads best, and the enlargement."""
    page = ImageOps.grayscale(image)
    scale = min(_MAX_ENLARGEMENT, math.sqrt(_PAGE_PIXELS / (page.width * page.height)))
    if scale <= 1:
        return page, 1.0
    size = round(page.width * scale), round(page.height * scale)
    return page.resize(size, Image.Resampling.BICUBIC), scale


def _run(page: Image.Image, data: str) -> Mapping[str, Sequence[str | int | float]]:
    import pytesseract

    try:
        words: Mapping[str, Sequence[str | int | float]] = pytesseract.image_to_data(
            page,
            lang=data,
            config=_LAYOUT,
            timeout=READ_TIMEOUT_S,
            output_type=pytesseract.Output.DICT,
        )
    except (pytesseract.TesseractNotFoundError, pytesseract.TesseractError, OSError) as error:
        raise EngineError(f"Tesseract failed on the picture: {error}.", hint=_INSTALL) from error
    except RuntimeError as error:  # how pytesseract reports its timeout
        raise EngineTimeoutError(
            f"Reading the picture took longer than {READ_TIMEOUT_S:g} seconds.",
            hint="Photograph only the part that matters.",
        ) from error
    return words


def _lines(words: Mapping[str, Sequence[str | int | float]], scale: float) -> list[TextLine]:
    grouped: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for index, (text, confidence) in enumerate(zip(words["text"], words["conf"], strict=True)):
        if str(text).strip() and float(confidence) >= _MIN_CONFIDENCE * 100:
            key = tuple(int(words[name][index]) for name in ("block_num", "par_num", "line_num"))
            grouped[key[0], key[1], key[2]].append(index)
    return [_line(words, group, scale) for group in grouped.values()]


def _line(
    words: Mapping[str, Sequence[str | int | float]], group: Sequence[int], scale: float
) -> TextLine:
    def numbers(name: str) -> list[float]:
        return [float(words[name][index]) for index in group]

    left, top, width, height = (numbers(name) for name in ("left", "top", "width", "height"))
    right = max(start + extent for start, extent in zip(left, width, strict=True))
    bottom = max(start + extent for start, extent in zip(top, height, strict=True))
    confidence = sum(numbers("conf")) / len(group) / 100
    box = (
        int(min(left) / scale),
        int(min(top) / scale),
        int(right / scale),
        int(bottom / scale),
    )
    return TextLine(join_words([str(words["text"][index]) for index in group]), box, confidence)


def join_words(words: Sequence[str]) -> str:
    """Join with spaces, but not between Chinese characters, which Tesseract reports singly."""
    text = ""
    for word in words:
        gap = "" if not text or (_unspaced(text[-1]) and _unspaced(word[0])) else " "
        text += gap + word
    return text


def _unspaced(char: str) -> bool:
    """Chinese and Japanese characters and full-width punctuation."""
    return (
        "\u3000" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff" or "\uff00" <= char <= "\uffef"
    )
