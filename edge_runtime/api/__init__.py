"""The HTTP and WebSocket API and the kiosk page: a thin printer and feeder of the turn stream."""
