"""Turn events as JSON: one object per event, told apart by ``type``."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

from edge_runtime.audio import wav_bytes
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.turn import (
    Card,
    Decision,
    Done,
    Event,
    PictureText,
    Speech,
    TextDelta,
    Transcript,
    Understanding,
)

_NAMES: dict[type[object], str] = {
    Transcript: "transcript",
    PictureText: "picture",
    Understanding: "understanding",
    Decision: "decision",
    TextDelta: "text",
    Card: "card",
    Done: "done",
}


def event_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object. Speech carries a WAV file in base64."""
    if isinstance(event, Speech):
        return {
            "type": "speech",
            "index": event.index,
            "text": event.text,
            "seconds": round(event.audio.seconds, 3),
            "wav": base64.b64encode(wav_bytes(event.audio)).decode(),
        }
    return {"type": _NAMES[type(event)], **to_json(event)}


def to_json(value: Any) -> Any:
    """Frozen dataclasses, mappings and tuples as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def error_json(error: EdgeRuntimeError) -> dict[str, str]:
    """An error as an event: what was wrong and what to do, never a stack trace."""
    return {
        "type": "error",
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
    }
