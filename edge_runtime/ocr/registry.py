"""Every text-reading engine by name; an engine's module is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from edge_runtime.errors import ConfigError
from edge_runtime.ocr.base import TextReader

_READERS: dict[str, Callable[[int], TextReader]] = {
    "tesseract": lambda threads: _engine("tesseract", "TesseractReader")(),
    "rapidocr": lambda threads: _engine("rapid", "RapidReader")(threads=threads),
}

READERS = tuple(_READERS)


def create_reader(name: str, *, threads: int = 2) -> TextReader:
    """Load the engine called ``name``.

    Raises:
        ConfigError: there is no such engine.
        EngineError: it is not installed or does not load.
        ModelCorruptError: one of its model files is not the pinned one.
    """
    if name not in _READERS:
        raise ConfigError(
            f"There is no text-reading engine '{name}'.",
            hint=f"Choose one of {', '.join(READERS)}.",
        )
    return _READERS[name](threads)


def _engine(module: str, name: str) -> Callable[..., TextReader]:
    engine: Callable[..., TextReader] = getattr(import_module(f"{__package__}.{module}"), name)
    return engine
