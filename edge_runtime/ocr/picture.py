"""What all engines share: from lines to :class:`PictureText`, and the smoke-test picture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from edge_runtime.ocr.fields import find_fields
from edge_runtime.ocr.layout import page_text, reading_order
from edge_runtime.turn import PictureText, TextLine


def picture_text(lines: Sequence[TextLine]) -> PictureText:
    """Order ``lines``, join them, find their fields; confidence is weighted by text length."""
    rows = reading_order(lines)
    ordered = tuple(line for row in rows for line in row)
    weight = sum(len(line.text) for line in ordered)
    confidence = sum(len(line.text) * line.confidence for line in ordered) / weight if weight else 0
    return PictureText(
        text=page_text(rows),
        lines=ordered,
        fields=find_fields(rows),
        confidence=confidence,
    )


def smoke_picture() -> Image.Image:
    """A white card that says TOTAL 42.00."""
    card = Image.new("RGB", (480, 120), "white")
    font = ImageFont.load_default(size=48)
    ImageDraw.Draw(card).text((40, 30), "TOTAL 42.00", fill="black", font=font)
    return card
