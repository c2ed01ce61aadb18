"""Opening pictures: what is accepted, how it is turned and converted, what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.errors import ImageError
from edge_runtime.ocr import load_image
from edge_runtime.ocr.image import WORKING_PIXELS, WORKING_SIDE

LIMITS = {"max_bytes": 2**20, "max_pixels": 40_000_000}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corner_mark() -> Image.Image:
    """White 60 x 40 with a black top-left quarter."""
    image = Image.new("RGB", (60, 40), "white")
    image.paste("black", (0, 0, 30, 20))
    return image


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + checksum

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_accepted_format_decodes_to_rgb(kind: str) -> None:
    image = load_image(encoded(corner_mark(), kind), **LIMITS)
    assert (image.mode, image.size) == ("RGB", (60, 40))
    assert image.getpixel((5, 5))[0] < 40
    assert image.getpixel((55, 35))[0] > 200


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_rotation_is_undone(orientation: int, turned: Image.Transpose) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = corner_mark().transpose(turned)
    image = load_image(encoded(stored, "PNG", exif=exif), **LIMITS)
    assert np.array_equal(np.asarray(image), np.asarray(corner_mark()))


def test_damaged_exif_does_not_spoil_the_picture() -> None:
    data = encoded(corner_mark(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage")
    assert load_image(data, **LIMITS).size == (60, 40)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_becomes_white(mode: str) -> None:
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0)).convert(mode)
    assert load_image(encoded(clear, "PNG"), **LIMITS).getpixel((8, 8)) == (255, 255, 255)


def test_transparent_palette_becomes_white() -> None:
    image = Image.new("P", (16, 16), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    data = encoded(image, "GIF", transparency=0)
    assert load_image(data, **LIMITS).getpixel((8, 8)) == (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_contrast() -> None:
    ramp = np.linspace(0, 65535, 64 * 16).reshape(16, 64).astype(np.uint16)
    image = load_image(encoded(Image.fromarray(ramp), "PNG"), **LIMITS)
    assert image.getpixel((0, 0))[0] < 5
    assert image.getpixel((63, 15))[0] > 250


def test_cmyk_and_one_bit_pictures_are_converted() -> None:
    cyan = load_image(encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG"), **LIMITS)
    assert cyan.getpixel((8, 8))[0] < 60
    assert cyan.getpixel((8, 8))[2] > 150
    bits = load_image(encoded(Image.new("1", (16, 16), 1), "TIFF"), **LIMITS)
    assert bits.getpixel((8, 8)) == (255, 255, 255)


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_image(data, **LIMITS).getpixel((8, 8)) == (255, 0, 0)


def test_large_pictures_are_brought_to_the_working_size() -> None:
    image = load_image(encoded(Image.new("RGB", (6000, 1000), "white"), "PNG"), **LIMITS)
    assert max(image.size) <= WORKING_SIDE
    assert image.width * image.height <= WORKING_PIXELS
    assert abs(image.width / image.height - 6) < 0.1


def test_a_file_is_read_like_its_content(tmp_path: Path) -> None:
    path = tmp_path / "收据.png"
    path.write_bytes(encoded(corner_mark(), "PNG"))
    assert load_image(path, **LIMITS).size == (60, 40)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"this is a shopping list, not a picture\n" * 40, "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (encoded(Image.effect_noise((200, 200), 60), "JPEG")[:900], "damaged|cut off"),
        (encoded(Image.effect_noise((200, 200), 60), "PNG")[:900], "damaged|cut off"),
        (encoded(corner_mark(), "PNG")[:20], "header is damaged"),
        (b"\x89PNG\r\n\x1a\n", "header is damaged"),
        (png_header(30_000, 30_000), "too many pixels"),
        (png_header(9_000, 9_000), "too many pixels"),
        (png_header(1_000_000, 30), "too narrow"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "too small"),
        (b"\0" * (2**20 + 1), "larger than 1 MiB"),
    ],
)
def test_unusable_pictures_are_refused_with_the_reason(data: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        load_image(data, **LIMITS)


def test_a_30000_pixel_square_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decoded(self: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    for size in (30_000, 7_000):
        with pytest.raises(ImageError, match="too many pixels"):
            load_image(png_header(size, size), **LIMITS)


def test_missing_files_folders_and_large_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no picture file"):
        load_image(tmp_path / "absent.png", **LIMITS)
    with pytest.raises(ImageError, match="no picture file"):
        load_image(tmp_path, **LIMITS)
    with pytest.raises(ImageError, match=r"no picture file|cannot be read"):
        load_image(Path("a\0b.png"), **LIMITS)
    (tmp_path / "big.png").write_bytes(b"\0" * 2048)
    with pytest.raises(ImageError, match="larger"):
        load_image(tmp_path / "big.png", max_bytes=1024, max_pixels=10**6)


VALID = [encoded(corner_mark(), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(VALID), st.data())
def test_damaged_bytes_never_raise_anything_but_image_error(
    valid: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(valid)
    for position in data.draw(st.lists(st.integers(0, len(valid) - 1), min_size=1, max_size=8)):
        damaged[position] = data.draw(st.integers(0, 255))
    keep = data.draw(st.integers(0, len(damaged)))
    try:
        image = load_image(bytes(damaged[: keep or None]), **LIMITS)
    except ImageError:
        return
    assert image.mode == "RGB"
    assert image.width * image.height <= WORKING_PIXELS
