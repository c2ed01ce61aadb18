"""RapidOCR: PP-OCRv6 detection and recognition (Chinese, English, Japanese, Latin) in ONNX.

The three networks lie inside the ``rapidocr`` wheel; each is checked against its pinned hash and
handed over by path, which is the one way that keeps the package from fetching anything.
"""

from __future__ import annotations

import hashlib
import math
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from edge_runtime.errors import EngineError, EngineTimeoutError, ModelCorruptError
from edge_runtime.ocr.base import READ_TIMEOUT_S
from edge_runtime.ocr.picture import picture_text, smoke_picture
from edge_runtime.turn import PictureText, TextLine

Pixels = npt.NDArray[np.uint8]

DETECTOR = "PP-OCRv6_det_small.onnx"
RECOGNISER = "PP-OCRv6_rec_small.onnx"
CLASSIFIER = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
SHA256 = {
    DETECTOR: "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    RECOGNISER: "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
    CLASSIFIER: "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
}

# Detection memory grows with its input's area; with these bounds the process peaks about a third
# lower than with the package's own settings, and larger inputs read no better on receipts.
_DETECT_SIDE = 1536
_DETECT_PIXELS = 750_000
_DETECT_MIN_SIDE = 320
_MAX_LINES = 400
_MIN_CONFIDENCE = 0.5
_INSTALL = "Run: pip install 'edge-runtime[device]'"


class RapidReader:
    """Reads pictures with RapidOCR on ``threads`` CPU threads.

    Raises:
        EngineError: the package is not installed or does not load.
        ModelCorruptError: a network inside the package is not the pinned one.
    """

    name = "rapidocr"

    def __init__(self, *, threads: int = 2) -> None:
        files = _verified_files()
        try:
            from rapidocr import RapidOCR

            self._engine: Any = RapidOCR(params=_settings(files, threads))
        except Exception as error:  # any of its many dependencies may be missing or broken
            raise EngineError(f"RapidOCR does not load: {error}.", hint=_INSTALL) from error

    def read(
        self,
        image: Image.Image,
        *,
        language: str | None,
        cancelled: Event | None = None,
    ) -> PictureText:
        """See :meth:`TextReader.read`. One network set reads all languages."""
        engine = self._engine
        if engine is None:
            raise EngineError("RapidOCR was closed; construct a new reader.")
        deadline = monotonic() + READ_TIMEOUT_S
        pixels: Pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        try:
            quads = _detect(engine, pixels)
            lines: list[TextLine] = []
            for quad in quads[:_MAX_LINES]:
                if cancelled is not None and cancelled.is_set():
                    break
                if monotonic() > deadline:
                    raise EngineTimeoutError(
                        f"Reading the picture took longer than {READ_TIMEOUT_S:g} seconds.",
                        hint="Photograph only the part that matters.",
                    )
                line = _recognise(engine, pixels, quad)
                if line is not None:
                    lines.append(line)
        except EngineTimeoutError:
            raise
        except Exception as error:  # the package wraps numpy, OpenCV and ONNX Runtime failures
            raise EngineError(f"RapidOCR failed on the picture: {error}.") from error
        return picture_text(lines)

    def smoke(self) -> None:
        found = self.read(smoke_picture(), language="en").text
        if "42" not in found:
            raise EngineError(f"RapidOCR read {found!r} from its test picture.", hint=_INSTALL)

    def close(self) -> None:
        self._engine = None


def _verified_files() -> dict[str, Path]:
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise EngineError("RapidOCR is not installed.", hint=_INSTALL)
    folder = Path(spec.origin).parent / "models"
    files = {name: folder / name for name in SHA256}
    for name, path in files.items():
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise EngineError(f"RapidOCR's '{name}' cannot be read.", hint=_INSTALL) from error
        if found != SHA256[name]:
            raise ModelCorruptError(
                f"RapidOCR's '{name}' is not the pinned file (sha256 {found[:12]}…).",
                hint="Run: pip install --force-reinstall rapidocr==3.10.0",
            )
    return files


def _settings(files: dict[str, Path], threads: int) -> dict[str, object]:
    return {
        "Global.log_level": "error",
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "EngineConfig.onnxruntime.enable_cpu_mem_arena": False,
        "Det.model_path": str(files[DETECTOR]),
        "Cls.model_path": str(files[CLASSIFIER]),
        "Rec.model_path": str(files[RECOGNISER]),
        # _detect resizes; the package only rounds to multiples of 32.
        "Det.limit_type": "max",
        "Det.limit_side_len": _DETECT_SIDE,
        # One line at a time: a batch is padded to its longest line, times 18,000 classes.
        "Rec.rec_batch_num": 1,
        "Cls.cls_batch_num": 1,
    }


def _detect(engine: Any, pixels: Pixels) -> list[npt.NDArray[np.float32]]:
    """Quadrangles (4, 2) of text lines in pixels of the full picture."""
    import cv2
    from rapidocr.main import RapidOCRError

    height, width = pixels.shape[:2]
    scale = min(
        _DETECT_SIDE / max(height, width),
        math.sqrt(_DETECT_PIXELS / (height * width)),
        max(1.0, _DETECT_MIN_SIDE / min(height, width)),
    )
    size = max(32, round(width * scale)), max(32, round(height * scale))
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    if scale > 1:
        resized = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
    record: dict[str, Any] = {}
    try:
        _, found = engine.detect_and_crop(resized, record)
    except RapidOCRError:  # its way of saying that the picture has no text
        return []
    padding = record["padding_1"]
    offset = np.array([padding["left"], padding["top"]], np.float32)
    stretch = np.array([width / size[0], height / size[1]], np.float32)
    limit = np.array([width, height], np.float32)
    return [np.clip((quad.astype(np.float32) - offset) * stretch, 0, limit) for quad in found.boxes]


def _recognise(engine: Any, pixels: Pixels, quad: npt.NDArray[np.float32]) -> TextLine | None:
    left, top = quad.min(axis=0)
    right, bottom = quad.max(axis=0)
    if right - left < 2 or bottom - top < 2:
        return None
    crops = engine.crop_text_regions(pixels, [quad])
    if 0 in crops[0].shape:
        return None
    upright, _ = engine.cls_and_rotate(crops)
    result = engine.recognize_txt(upright)
    text, confidence = str(result.txts[0]).strip(), float(result.scores[0])
    if not text or confidence < _MIN_CONFIDENCE:
        return None
    return TextLine(text, (int(left), int(top), math.ceil(right), math.ceil(bottom)), confidence)
