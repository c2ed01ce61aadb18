"""The HTTP half of the API: what it answers and what it refuses."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.testclient import TestClient

from edge_runtime.api.app import STATIC
from edge_runtime.errors import ModelMissingError
from edge_runtime.running import TurnRequest
from edge_runtime.turn import Event, TextDelta


def lines(client: TestClient, body: object) -> list[dict[str, Any]]:
    answer = client.post("/api/ask", json=body)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def refusal(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400
    said: dict[str, str] = answer.json()
    assert said["type"] == "error"
    assert "Traceback" not in said["message"]
    return said


def test_a_question_is_answered_line_by_line_and_ends_with_done(client: TestClient) -> None:
    said = lines(client, {"text": "can I return bread?", "session": "s9"})
    assert [event["type"] for event in said] == ["card", "text", "done"]
    assert said[-1]["reply"] == "can I return bread?"
    assert said[-1]["session"] == "s9"


def test_speech_comes_as_a_wav_file_only_when_asked_for(client: TestClient) -> None:
    assert not [e for e in lines(client, {"text": "hi"}) if e["type"] == "speech"]
    (speech,) = [e for e in lines(client, {"text": "hi", "speak": True}) if e["type"] == "speech"]
    assert base64.b64decode(speech["wav"])[:4] == b"RIFF"
    assert speech["seconds"] == 0.01


def test_a_picture_reaches_the_turn_as_bytes(client: TestClient, assistant: Any) -> None:
    lines(client, {"image": base64.b64encode(b"picture").decode()})
    assert assistant.requests[-1].image == b"picture"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"[]", "wrong"),
        (b'{"text": 5}', "'text' is wrong"),
        (b'{"colour": "red"}', "'colour' is wrong"),
        (b'{"' + b"x" * 10_000 + b'": 1}', "is wrong"),
        (b'{"session": "../../etc"}', "'session' is wrong"),
        (b'{"language": "zh; drop"}', "'language' is wrong"),
        (b'{"audio": "no base64!"}', "recording is not valid base64"),
        (b'{"image": "no base64!"}', "picture is not valid base64"),
        (b'{"text": "' + b"a" * 101 + b'"}', "101 characters"),
        (b'{"image": "' + b"A" * 140_000 + b'"}', "picture is larger"),
        (b'{"text": "' + b"a" * 400_000 + b'"}', "larger than"),
    ],
)
def test_what_cannot_be_used_gets_one_clear_sentence(
    client: TestClient, body: bytes, said: str
) -> None:
    message = refusal(client.post("/api/ask", content=body))["message"]
    assert said in message
    assert len(message) < 500
    assert lines(client, {"text": "still there?"})[-1]["reply"] == "still there?"


def test_an_error_during_the_turn_is_the_last_line(client: TestClient, assistant: Any) -> None:
    async def fails(_: TurnRequest) -> AsyncGenerator[Event]:
        yield TextDelta("so far")
        raise ModelMissingError("The model is not here.", hint="Fetch it.")

    assistant.script = fails
    said = lines(client, {"text": "hi"})
    assert [event["type"] for event in said] == ["text", "error"]
    assert said[-1] == {
        "type": "error",
        "error": "ModelMissingError",
        "message": "The model is not here.",
        "hint": "Fetch it.",
    }


def test_a_defect_in_a_turn_costs_that_turn_only(client: TestClient, assistant: Any) -> None:
    async def breaks(_: TurnRequest) -> AsyncGenerator[Event]:
        yield TextDelta("so far")
        raise ZeroDivisionError("secret detail")

    working, assistant.script = assistant.script, breaks
    said = lines(client, {"text": "hi"})
    assert said[-1]["error"] == "EngineError"
    assert "secret" not in json.dumps(said)
    assistant.script = working
    assert lines(client, {"text": "again"})[-1]["reply"] == "again"


@pytest.mark.parametrize(
    "name",
    [
        "../pack.toml",
        "..%2fpack.toml",
        "%2e%2e/pack.toml",
        "images/../pack.toml",
        "images%2f..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "..%5cpack.toml",
        "%00",
        "images/" + "a" * 5000,
        "",
        "images",
    ],
)
def test_only_pictures_of_the_pack_are_served(client: TestClient, name: str) -> None:
    answer = client.get(f"/api/pictures/{name}")
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert client.get("/api/pictures/images/kettle.png").content == b"\x89PNG"


def test_sources_are_told_by_title_and_unknown_ones_left_out(client: TestClient) -> None:
    wanted = {"id": ["returns#food", "order:R1", "x" * 500, "\0"], "language": "en"}
    (only,) = client.get("/api/sources", params=wanted).json()
    assert only == {
        "id": "returns#food",
        "title": "Food (en)",
        "text": "No returns.",
        "images": [],
    }
    assert client.get("/api/sources", params={"id": ["a"] * 17}).status_code == 422


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:8765"]
)
def test_other_host_names_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/info", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8765"]
)
def test_pages_of_other_sites_may_not_ask(client: TestClient, origin: str) -> None:
    answer = client.post("/api/ask", json={"text": "hi"}, headers={"Origin": origin})
    assert answer.status_code == 403
    own = {"Origin": "http://127.0.0.1:8765"}
    assert client.post("/api/ask", json={"text": "hi"}, headers=own).status_code == 200


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    for path in ("/", "/kiosk.js", "/api/info", "/api/pictures/none", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_info_tells_the_page_its_limits(client: TestClient) -> None:
    assert client.get("/api/info").json()["limits"] == {"text_chars": 100, "audio_s": 2.0}
    assert client.get("/api/health").json()["status"] == "ok"


def test_no_page_file_names_a_foreign_address() -> None:
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".html", ".css", ".js", ".svg"}
    for path in files:
        text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"(?:https?|wss?):(?:\\?/){2}[^$]|[\"'(=]\s*//\w", text), path.name


def test_every_language_of_the_page_says_everything() -> None:
    text = (STATIC / "strings.js").read_text("utf-8")
    languages = re.findall(r"^  (\w\w): \{\n(.*?)^  \},", text, re.MULTILINE | re.DOTALL)
    keys = {code: re.findall(r"(?:^|[,{] |    )(\w+): \"", body) for code, body in languages}
    assert set(keys) == {"zh", "en", "es", "fr", "de", "ja", "ko", "pt", "it", "ru", "ar"}
    assert len(keys["en"]) > 25
    for code, found in keys.items():
        assert found == keys["en"], code
    used = set(re.findall(r"say\(\"(\w+)\"\)", "".join(p.read_text() for p in STATIC.glob("*.js"))))
    assert used <= set(keys["en"])
