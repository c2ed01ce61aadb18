"""``edge-sync`` and ``edge-central`` as a person uses them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sync_kit import Central, turn
from typer.testing import CliRunner

from edge_runtime.journal import Journal
from sync.central.cli import app as central_app
from sync.cli import app
from sync.commands.opening import uplink

RUN = CliRunner()


@pytest.fixture
def device(tmp_path: Path) -> Path:
    folder = tmp_path / "till"
    with closing(Journal.open(folder / "journal.db")) as journal:
        for number in range(5):
            journal.record(turn(number), state_json=None)
    return folder


def call(*words: object) -> tuple[int, dict[str, object]]:
    result = RUN.invoke(app, [*map(str, words), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def test_enrol_push_and_status(central: Central, device: Path) -> None:
    place = ("--data-dir", device)
    assert call("status", *place)[1]["server"] is None
    code, refused = call("push", *place)
    assert code == 2
    assert "edge-sync enroll" in refused["error"]["hint"]  # type: ignore[index]
    assert call("enroll", central.url, "--code", central.code(), *place)[0] == 0
    assert (device / "central.json").stat().st_mode & 0o077 == 0
    assert call("push", *place)[1]["sent"] == 10
    status = call("status", *place)[1]
    assert (status["pending"], status["server"]) == ({}, central.url)


def test_a_renewed_credential_takes_over_and_what_runs_goes_on(
    central: Central, device: Path
) -> None:
    place = ("--data-dir", device)
    assert call("renew", *place)[0] == 2
    call("enroll", central.url, "--code", central.code(), *place)
    before = (device / "central.json").read_text()
    with closing(Journal.open(device / "journal.db")) as journal, uplink(journal, device) as up:
        assert up.push(max_batches=1).sent == 10
        assert call("renew", *place) == (0, {"url": central.url, "renewed": True})
        assert (device / "central.json").stat().st_mode & 0o077 == 0
        journal.record(turn(90), state_json=None)
        assert up.push().sent == 2
        renewed = (device / "central.json").read_text()
        (device / "central.json").write_text("{")
        journal.record(turn(91), state_json=None)
        assert up.push().sent == 2
    assert renewed != before
    (device / "central.json").write_text(before)
    assert call("renew", *place)[0] == 7


def test_a_wrong_code_and_an_absent_server_are_clear_errors(central: Central, device: Path) -> None:
    place = ("--data-dir", device)
    assert call("enroll", central.url, "--code", "WRONG-WRONG", *place)[0] == 7
    assert call("enroll", "http://127.0.0.1:9", "--code", "WRONG-WRONG", *place)[0] == 6
    (device / "central.json").write_text("{")
    assert call("push", *place)[0] == 2


def test_run_says_it_is_alive_and_stops_cleanly_when_told(central: Central, device: Path) -> None:
    call("enroll", central.url, "--code", central.code(), "--data-dir", device)
    command = [sys.executable, "-c", "from sync.cli import main; main()", "run", "--json"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(device / "notify"))
        process = subprocess.Popen(
            [*command, "--data-dir", str(device)], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "NOTIFY_SOCKET": str(device / "notify")},
        )  # fmt: skip
        manager.settimeout(120)
        assert manager.recv(100) == b"READY=1\nWATCHDOG=1"
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["report"]["sent"] == 10
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()


def test_central_makes_codes_and_exports(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path)]
    made = RUN.invoke(central_app, ["enroll", "--shop", "Main Street", "--json", *place])
    assert len(json.loads(made.stdout)["code"]) == 17
    target = tmp_path / "turns.jsonl"
    exported = RUN.invoke(
        central_app, ["export", "--since", "2026-01-01", "--out", str(target), "--json", *place]
    )
    assert json.loads(exported.stdout) == {"file": str(target), "lines": 0}
    assert target.read_text() == ""
    broken = RUN.invoke(
        central_app,
        ["export", "--since", "2026-01-01", "--out", str(target / "x"), "--json", *place],
    )
    assert broken.exit_code == 5
    half_tls = RUN.invoke(central_app, ["serve", "--tls-cert", str(target), *place])
    assert half_tls.exit_code == 2
