"""Open whatever the camera, the scanner or the customer handed over, safely.

Size limits are checked on the header, before any pixel is decoded.
"""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from edge_runtime.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
WORKING_PIXELS = 4_000_000
WORKING_SIDE = 4096
MIN_SIDE = 8

_RETAKE = "Take the picture again or use another one."
_READABLE = "Use a JPEG, PNG, WEBP, BMP, GIF or TIFF picture."
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FULL_SCALE_16_BIT = 65535.0

# Pillow warns on standard error above a size of its own; load_image refuses at the caller's
# limit with an error the customer can read, so the warning would only be noise.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# The same for damage that Pillow can read past.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def load_image(source: Path | bytes, *, max_bytes: int, max_pixels: int) -> Image.Image:
    """Decode a picture to upright RGB of a bounded working size.

    The first frame of an animation is used; transparency becomes white; EXIF rotation is applied.

    Args:
        source: a file, or the file's content.
        max_bytes: largest file accepted.
        max_pixels: largest width x height accepted, judged by the header alone.

    Returns:
        Mode RGB, at most ``WORKING_PIXELS`` pixels and ``WORKING_SIDE`` a side.

    Raises:
        ImageError: empty, too large, truncated, or not a picture of a known format.
    """
    data = _read(source, max_bytes) if isinstance(source, Path) else source
    if not data:
        raise ImageError("The picture is empty (0 bytes).", hint=_RETAKE)
    if len(data) > max_bytes:
        raise _too_many_bytes(max_bytes)
    image = _open(data)
    size = _working_size(image.size, max_pixels)
    orientation = _orientation(image)
    image = _decode(image, size)
    turn = _UPRIGHT.get(orientation)
    return image.transpose(turn) if turn is not None else image


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise ImageError(f"There is no picture file '{path}'.")
        if path.stat().st_size > max_bytes:
            raise _too_many_bytes(max_bytes)
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"The picture file '{path}' cannot be read: {error}.") from error


def _too_many_bytes(max_bytes: int) -> ImageError:
    return ImageError(
        f"The picture file is larger than {max_bytes / 2**20:g} MiB.",
        hint="Take it at a lower resolution.",
    )


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("The picture has too many pixels.", hint=_RETAKE) from error
    except Exception as error:  # decoders meet hostile headers with almost any exception type
        raise ImageError(_what_it_is(data), hint=_READABLE) from error


def _what_it_is(data: bytes) -> str:
    head = data[:1024].lstrip()
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return "The picture is in HEIC or AVIF format, which is not supported."
    if head.startswith(b"%PDF"):
        return "The file is a PDF document, not a picture."
    if head.startswith(b"<") and b"<svg" in head:
        return "The file is an SVG drawing, which is not supported."
    return "The file is not a picture of a known format, or its header is damaged."


def _working_size(size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"The picture has too many pixels ({width} x {height}; "
            f"at most {max_pixels / 1e6:g} million are accepted).",
            hint="Take it at a lower resolution.",
        )
    scale = min(1.0, WORKING_SIDE / max(size), math.sqrt(WORKING_PIXELS / (width * height or 1)))
    working = int(width * scale), int(height * scale)
    if min(working) < MIN_SIDE:
        raise ImageError(
            f"The picture is too small or too narrow to hold text ({width} x {height} pixels).",
            hint=_RETAKE,
        )
    return working


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF is no reason to refuse an intact picture
        return 1


def _decode(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    try:
        # JPEG can decode at 1/2, 1/4 or 1/8 scale: a 40-megapixel photo never exists in full.
        image.draft("RGB", size)
        image.load()
        return _flatten(_shrink(_eight_bit(image), size))
    except MemoryError as error:
        raise ImageError("The picture needs more memory than there is.", hint=_RETAKE) from error
    except Exception as error:  # decoders meet damaged data with almost any exception type
        raise ImageError(f"The picture is damaged or cut off: {error}.", hint=_RETAKE) from error


def _eight_bit(image: Image.Image) -> Image.Image:
    """Bring 1-bit, palette, 16/32-bit and float modes to 8 bits a channel, keeping transparency."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode.startswith("I") or image.mode == "F":
        return _rescale(image)
    if image.mode == "L" and "transparency" in image.info:
        return image.convert("LA")
    if image.mode == "RGB" and "transparency" in image.info:
        return image.convert("RGBA")
    return image


def _rescale(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= _FULL_SCALE_16_BIT and image.mode.startswith("I"):
        low, high = 0.0, 255.0 if high <= 255 else _FULL_SCALE_16_BIT
    scaled = (values - low) * (255 / (high - low or 1.0))
    return Image.fromarray(scaled.astype(np.uint8))


def _shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA"):
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        return page.convert("RGB")
    return image.convert("RGB")
