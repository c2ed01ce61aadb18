"""Errors of the converters, below the device's own tree.

::

    EdgeRuntimeError
    └── ConverterError          (Exception)
        ├── ModelFileError      (ValueError)    a model file is cut short, unsafe, …
        ├── DatasetError        (ValueError)    labelled data is broken; names file and line
        ├── OptionError         (ValueError)    a command was asked for something impossible
        ├── ConversionError     (RuntimeError)  llama.cpp failed or crashed
        └── BarsMissedError     (ValueError)    a quality card does not clear its bars
"""

from __future__ import annotations

from pathlib import Path

from edge_runtime.bundles.card import Miss
from edge_runtime.errors import EdgeRuntimeError


class ConverterError(EdgeRuntimeError):
    """Base of every deliberate error of the converters."""


class ModelFileError(ConverterError, ValueError):
    """A model file is of the wrong kind, cut short, damaged or unsafe to open."""

    exit_code = 3


class DatasetError(ConverterError, ValueError):
    """Labelled data is broken.

    Args:
        message: what was wrong.
        file: the offending file.
        line: its 1-based line, or ``None`` when the whole file is meant.
        hint: what to do about it.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, file: Path, line: int | None = None, hint: str = ""
    ) -> None:
        where = f"{file}:{line}" if line else f"{file}"
        super().__init__(f"{where}: {message}", hint=hint)
        self.file = file
        self.line = line


class OptionError(ConverterError, ValueError):
    """A command was asked for something impossible."""

    exit_code = 2


class ConversionError(ConverterError, RuntimeError):
    """llama.cpp failed or crashed on a model."""

    exit_code = 4


class BarsMissedError(ConverterError, ValueError):
    """A quality card does not clear its bars.

    Args:
        message: which card, and each bar it missed.
        misses: the bars.
        hint: what to do about it.
    """

    exit_code = 8

    def __init__(self, message: str, *, misses: tuple[Miss, ...], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.misses = misses
