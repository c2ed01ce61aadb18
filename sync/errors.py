"""Errors of the sync layer, below the device's own tree."""

from __future__ import annotations

from edge_runtime.errors import EdgeRuntimeError


class SyncError(EdgeRuntimeError, ConnectionError):
    """The central server could not be reached, or did not answer as it should.

    Args:
        retry_after_s: how long the server asked to be left alone, or ``None``.
    """

    exit_code = 6

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class CredentialError(SyncError, PermissionError):
    """The server does not accept this device's credential."""

    exit_code = 7


class UpdateRefusedError(EdgeRuntimeError, PermissionError):
    """What was offered as an update is not signed as it must be, is too old, or does not fit."""

    exit_code = 8


class UpdateTooSlowError(SyncError, TimeoutError):
    """A server sends so slowly that waiting for it would hold the device up (slow retrieval)."""
