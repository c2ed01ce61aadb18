"""A web application over an assistant whose turns the test scripts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from edge_runtime.api.app import create_app
from edge_runtime.config import Settings
from edge_runtime.running import TurnRequest
from edge_runtime.turn import Audio, Card, Done, Event, Passage, Speech, TextDelta, Transcript

Script = Callable[[TurnRequest], AsyncGenerator[Event]]


def done(reply: str, **changes: Any) -> Done:
    """The end of a turn that answered ``reply``."""
    fields: dict[str, Any] = {
        "turn_id": "t1",
        "session": "s1",
        "reply": reply,
        "language": "en",
        "transcript": "",
        "ocr_text": "",
        "normalized": "",
        "intent": "return_policy",
        "intent_confidence": 0.9,
        "sentiment": "neutral",
        "entities": (),
        "confidence": 0.9,
        "decision": "answer",
        "reason": "intent",
        "sources": ("returns#food",),
        "blocked": (),
        "cards": (),
        "timings_ms": {"total": 1.5},
    }
    return Done(**{**fields, **changes})


async def echo(request: TurnRequest) -> AsyncGenerator[Event]:
    """Answer with what was asked, as every kind of event."""
    heard = ""
    if isinstance(request.audio, Audio):
        heard = f"{len(request.audio.samples)} samples"
        yield Transcript(heard, "en", 0.9)
    said = heard or request.text or f"{len(request.image or b'')} bytes of picture"
    yield Card("buttons", buttons=("yes", "no"))
    yield TextDelta(said)
    if request.speak:
        yield Speech(Audio(np.zeros(160, np.float32), 16000), said, 0)
    yield done(said, transcript=heard, session=request.session)


class ScriptedAssistant:
    """What the web application needs of an assistant; ``script`` plays its turns."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings(
            max_text_chars=100, max_audio_s=2.0, max_audio_bytes=100_000, max_image_bytes=100_000
        )
        self.script: Script = echo
        self.requests: list[TurnRequest] = []
        self.closed: list[str] = []
        self._root = root

    async def turn(self, request: TurnRequest) -> AsyncGenerator[Event]:
        self.requests.append(request)
        try:
            async for event in self.script(request):
                yield event
        finally:
            self.closed.append(request.text)

    def warm_up(self) -> None:
        """Nothing is cold here."""

    def describe(self) -> dict[str, Any]:
        return {"languages": ["en"], "default_language": "en"}

    def engines_loaded(self) -> dict[str, bool]:
        return {"asr": False}

    def picture(self, name: str) -> Path | None:
        path = (self._root / name).resolve()
        inside = path.is_relative_to(self._root / "images")
        return path if inside and path.is_file() else None

    def passage(self, passage_id: str, language: str) -> Passage | None:
        if passage_id != "returns#food":
            return None
        return Passage(
            passage_id, f"Food ({language})", "No returns.", language, "policy", "returns"
        )


@pytest.fixture
def assistant(tmp_path: Path) -> ScriptedAssistant:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "kettle.png").write_bytes(b"\x89PNG")
    (tmp_path / "pack.toml").write_text("secret")
    return ScriptedAssistant(tmp_path)


@pytest.fixture
def client(assistant: ScriptedAssistant) -> Iterator[TestClient]:
    app = create_app(assistant)  # type: ignore[arg-type]
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        yield client
