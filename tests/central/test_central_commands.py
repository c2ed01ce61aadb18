"""``edge-central`` as an administrator uses it, on either database."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from central_kit import Fleet, fleet_on, metric, said
from starlette.types import Message
from typer.testing import CliRunner

from converters.dataset import check_labels, read_rows
from edge_runtime.turn import OUT_OF_SCOPE
from sync.central.cli import app
from sync.central.database import Database

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _configured(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CENTRAL_DATABASE_URL", url)


def call(folder: Path, *words: object, code: int = 0) -> dict[str, Any]:
    result = RUN.invoke(app, [*map(str, words), "--data-dir", str(folder), "--json"])
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_a_code_admits_one_device_and_an_operator_has_a_role(fleet: Fleet, tmp_path: Path) -> None:
    made = call(tmp_path, "enroll", "--shop", "Main")
    body = {"code": made["code"], "device_id": "till-1"}
    assert fleet.http.post("/v1/enroll", json=body).status_code == 200
    assert fleet.http.post("/v1/enroll", json=body | {"device_id": "till-2"}).status_code == 403
    fleet.tokens["ann"] = call(tmp_path, "operator", "ann", "--role", "operator")["token"]
    assert fleet.ask("POST", "/v1/enrolments", "ann", json={}).status_code == 200
    assert fleet.ask("GET", "/v1/operators", "ann").status_code == 403
    assert call(tmp_path, "operator", "ann", "--revoke") == {"revoked": "ann"}
    assert fleet.ask("GET", "/v1/devices", "ann").status_code == 401
    refused = call(tmp_path, "operator", "bob", "--revoke", code=2)
    assert "no operator 'bob'" in refused["error"]["message"]
    noted = [entry["action"] for entry in fleet.get("/v1/audit")]
    assert noted == ["revoke operator", "make code", "make operator", "enrol", "make code"]


def test_what_is_backed_up_is_restored_by_command(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.enrol("till-1")
    fleet.send("till-1", [metric(1, 0), said(2, 0)])
    file = tmp_path / "central.jsonl.zst"
    written = call(tmp_path, "backup", file)
    assert written["bytes"] == file.stat().st_size
    refused = call(tmp_path, "restore", file, code=2)
    assert "not empty" in refused["error"]["message"]
    new = f"sqlite:///{tmp_path / 'new.db'}"
    monkeypatch.setenv("EDGE_CENTRAL_DATABASE_URL", new)
    assert call(tmp_path, "restore", file)["rows"] == written["rows"]
    with fleet_on(Database(new), tmp_path / "o") as again:
        again.tokens = fleet.tokens
        assert again.send("till-1", [metric(3, 1)]).json()["contiguous"] == 3
    refused = call(tmp_path, "restore", tmp_path / "absent", code=2)
    assert "not a file" in refused["error"]["message"]


def test_exported_turns_are_read_as_training_text(fleet: Fleet, tmp_path: Path) -> None:
    fleet.enrol("till-1")
    masked = "我叫[NAME:0123456789abcdef]，电话[PHONE:fedcba9876543210]，衣服能退吗"
    coats = [
        {"type": "product", "value": "coat", "text": "外套"},
        {"type": "product", "value": "", "text": "大衣"},
        {"type": "phone", "value": "[PHONE:fedcba9876543210]"},
    ]
    turns = [
        said(1, 0, text=masked, entities=coats, intent_confidence=0.9),
        said(2, 1, text="火星上有水吗", intent="out_of_scope"),
        said(3, 2, text="嗯", intent="unclear"),
        said(4, 3, text="", transcript="说出来的话", intent="", sentiment=""),
        said(5, 4, text="  "),
        said(6, 5, outcome="failed"),
    ]
    fleet.send("till-1", turns)
    file = tmp_path / "turns.jsonl"
    answer = call(tmp_path, "export", "--since", "2026-01-01", "--out", file)
    assert answer == {"file": str(file), "lines": 4}
    first, outside, unclear, spoken = read_rows(file)
    assert (first.text, first.intent, first.sentiment) == (masked, "return", "neutral")
    assert first.entities == {
        ("product", "coat"), ("product", "大衣"), ("phone", "[phone:fedcba9876543210]"),
    }  # fmt: skip
    assert outside.intent == OUT_OF_SCOPE
    assert unclear.intent == "unclear"
    assert (spoken.text, spoken.intent, spoken.sentiment) == ("说出来的话", None, None)
    check_labels(file, (first, outside, unclear, spoken), {"return"})
    later = call(tmp_path, "export", "--since", "2026-12-01", "--out", file)
    assert later["lines"] == 0


def test_erased_persons_are_taken_out_of_training_sets(fleet: Fleet, tmp_path: Path) -> None:
    fleet.enrol("till-1")
    mask = "[USER:0123456789abcdef]"
    fleet.send("till-1", [said(1, 0, user=mask), said(2, 9), said(3, 12)])
    file = tmp_path / "train.jsonl"
    call(tmp_path, "export", "--since", "2026-01-01", "--out", file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    labelled = [*(line | {"intent": "returns"} for line in lines), {"text": "written by hand"}]
    odd = [{"text": "x", "record": key} for key in (7, ["till-1", "s"], ["till-1", "s", 2**70])]
    file.write_text("".join(json.dumps(line) + "\n" for line in [*labelled, *odd]) + "\n")
    assert call(tmp_path, "weed", file) == {"file": str(file), "kept": 8, "erased": 0}
    call(tmp_path, "erase", "--pseudonym", mask)
    assert call(tmp_path, "weed", file) == {"file": str(file), "kept": 7, "erased": 1}
    left = [json.loads(line) for line in file.read_text().splitlines() if line]
    assert left == [*labelled[1:], *odd]
    assert len(read_rows(file)) == 6
    before = file.read_bytes()
    file.write_bytes(before + b"{")
    refused = call(tmp_path, "weed", file, code=2)
    assert "line 8: not JSON" in refused["error"]["message"]
    assert file.read_bytes() == before + b"{"
    call(tmp_path, "weed", tmp_path / "absent", code=5)


def test_persons_are_forgotten_by_command(fleet: Fleet, tmp_path: Path) -> None:
    fleet.enrol("till-1")
    mask = "[USER:0123456789abcdef]"
    fleet.send("till-1", [said(1, 0, user=mask), metric(2, 0), said(3, 9)])
    saved, receipts = tmp_path / "before.jsonl.zst", tmp_path / "receipts.json"
    call(tmp_path, "backup", saved)
    assert call(tmp_path, "erase", "--pseudonym", mask)["records"] == 2
    written = call(tmp_path, "erasures", "--out", receipts)
    assert (written["erasures"], written["unbroken"]) == (1, True)
    assert call(tmp_path, "forget", receipts) == {"erasures": 1, "records": 0}
    assert call(tmp_path, "retain")["gone"] == {}
    refused = call(tmp_path, "erase", "--pseudonym", "member-7", code=2)
    assert "no person's pseudonym" in refused["error"]["message"]
    receipts.write_text(receipts.read_text().replace("every", "no"))
    assert "no sound receipts" in call(tmp_path, "forget", receipts, code=2)["error"]["message"]


def test_a_device_that_goes_away_while_it_sends_is_no_fault_of_the_server(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    token = fleet.tokens["till-1"].encode()
    arriving: list[Message] = [
        {"type": "http.request", "body": b"half a batch", "more_body": True},
        {"type": "http.disconnect"},
    ]
    answers: list[Message] = []

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(message: Message) -> None:
        answers.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/ingest", "query_string": b"",
        "headers": [(b"authorization", b"Bearer " + token)], "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(fleet.app(scope, receive, send))
    assert answers[0]["status"] == 400
