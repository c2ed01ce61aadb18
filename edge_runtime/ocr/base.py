"""What every text-reading engine offers."""

from __future__ import annotations

from threading import Event
from typing import Protocol

from PIL import Image

from edge_runtime.turn import PictureText

READ_TIMEOUT_S = 30.0
"""Longest a picture may take; a kiosk customer does not wait longer."""


class TextReader(Protocol):
    """Reads the text of one picture. Blocking; one instance serves one thread at a time."""

    name: str

    def read(
        self,
        image: Image.Image,
        *,
        language: str | None,
        cancelled: Event | None = None,
    ) -> PictureText:
        """Read every line of ``image`` (mode RGB, as :func:`load_image` returns it).

        Args:
            image: the upright picture.
            language: the customer's language (ISO 639-1), or ``None`` when unknown.
            cancelled: once set, reading stops early and the lines read so far are returned.

        Returns:
            Lines in reading order with boxes in pixels of ``image``; fields where recognised.
            A picture without text gives empty text and confidence 0.

        Raises:
            EngineTimeoutError: the picture took longer than ``READ_TIMEOUT_S``.
            EngineError: the engine is missing or failed.
        """
        ...

    def smoke(self) -> None:
        """Read a small picture made on the spot.

        Raises:
            EngineError: the engine does not work on this machine.
        """
        ...

    def close(self) -> None:
        """Release the engine's memory; a later ``read`` raises ``EngineError``."""
        ...
