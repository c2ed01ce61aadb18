"""Errors of the central server, below the device's own tree."""

from __future__ import annotations

from edge_runtime.errors import InputError


class BackupError(InputError):
    """The file is no backup, or cannot be restored here."""


class ReleaseError(InputError):
    """The bundle may not be released."""
