"""The HTTP and WebSocket API and the kiosk page: a thin printer and feeder of the turn stream."""

from __future__ import annotations

from edge_runtime.api.app import create_app

__all__ = ["create_app"]
