"""Every error the device raises on purpose, in one tree.

::

    EdgeRuntimeError(Exception)
    ├── ConfigError          (ValueError)     a setting is wrong
    ├── InputError           (ValueError)     what the customer or caller gave cannot be used
    │   ├── TextError                         empty, too long, not text
    │   ├── AudioError                        empty, truncated, too long, not audio
    │   ├── ImageError                        empty, truncated, too large, not a picture
    │   └── LanguageError                     a language nobody here speaks
    ├── PackError            (ValueError)     a domain pack is broken; names file and line
    ├── ModelError           (RuntimeError)   something about a model file
    │   ├── ModelMissingError (LookupError)   not fetched yet
    │   └── ModelCorruptError                 its hash or size is not the catalogued one
    ├── FetchError           (ConnectionError) no source could deliver a model
    ├── EngineError          (RuntimeError)   an engine failed to load or to run
    │   └── EngineTimeoutError (TimeoutError) an engine ran past its limit
    └── StorageError         (OSError)        disk full, read-only, locked or damaged database
"""

from __future__ import annotations


class EdgeRuntimeError(Exception):
    """Base of every deliberate error.

    Args:
        message: what was wrong and where, one sentence, readable by a shopkeeper.
        hint: what to do about it (a command where there is one), or an empty string.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ConfigError(EdgeRuntimeError, ValueError):
    """A setting, flag or configuration file is wrong."""

    exit_code = 2


class InputError(EdgeRuntimeError, ValueError):
    """What the customer or caller handed over cannot be used."""

    exit_code = 2


class TextError(InputError):
    """The text is empty, too long, or not text."""


class AudioError(InputError):
    """The audio is empty, truncated, too long, or not audio."""


class ImageError(InputError):
    """The picture is empty, truncated, too large, or not a picture."""


class LanguageError(InputError):
    """The language is unknown or has no engine here."""


class PackError(EdgeRuntimeError, ValueError):
    """A domain pack is broken.

    Args:
        message: what was wrong.
        file: the offending file, relative to the pack where possible.
        line: its 1-based line, or ``None`` when the whole file is meant.
        hint: what to do about it.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, file: str = "", line: int | None = None, hint: str = ""
    ) -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(where + message, hint=hint)
        self.file = file
        self.line = line


class ModelError(EdgeRuntimeError, RuntimeError):
    """Something about a model file."""

    exit_code = 3


class ModelMissingError(ModelError, LookupError):
    """The model has not been fetched to this device."""


class ModelCorruptError(ModelError):
    """The model file's size or sha256 is not the catalogued one; it is never loaded."""


class FetchError(EdgeRuntimeError, ConnectionError):
    """No source could deliver a model."""

    exit_code = 3


class EngineError(EdgeRuntimeError, RuntimeError):
    """An engine failed to load or to run."""

    exit_code = 4


class EngineTimeoutError(EngineError, TimeoutError):
    """An engine ran past its time limit."""


class StorageError(EdgeRuntimeError, OSError):
    """Disk full, read-only, locked or damaged database."""

    exit_code = 5
