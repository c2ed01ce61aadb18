"""The units for systemd start what exists, in a sandbox, and hear whether it is alive."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections import defaultdict
from pathlib import Path
from threading import Thread

import pytest
import typer

from edge_runtime.cli import app as edge_runtime
from edge_runtime.systemd import ALIVE, READY, tell_systemd
from sync.central.cli import app as edge_central
from sync.cli import _alive
from sync.cli import app as edge_sync

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVICES = sorted(DEPLOY.glob("*.service"))
PROGRAMS = {
    "edge-runtime": typer.main.get_command(edge_runtime),
    "edge-sync": typer.main.get_command(edge_sync),
    "edge-central": typer.main.get_command(edge_central),
}
SANDBOX = {
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes",
    "PrivateTmp": "yes", "CapabilityBoundingSet": "", "UMask": "0077",
}  # fmt: skip
services = pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)


def settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in unit.read_text().splitlines():
        if "=" in line:
            key, value = line.split("=", 1)
            found[key].append(value)
    return found


@services
def test_a_service_starts_commands_that_exist_without_privileges(unit: Path) -> None:
    found = settings(unit)
    for line in found["ExecStart"]:
        path, *words = line.split()
        command = PROGRAMS[Path(path).name]
        for word in words:
            command = command.commands[word]  # type: ignore[attr-defined]
    assert found["User"] != ["root"]
    assert {key: found[key] for key in SANDBOX} == {key: [each] for key, each in SANDBOX.items()}


@services
def test_what_stays_is_watched_and_started_again(unit: Path) -> None:
    found = settings(unit)
    if found["Type"] == ["oneshot"]:
        return
    assert found["Type"] == ["notify"]
    assert found["Restart"] == ["always"]
    assert int(found["WatchdogSec"][0]) > 60


def test_services_that_share_a_folder_are_one_user() -> None:
    """Systemd hands a state folder to the user of the unit that starts."""
    users = defaultdict(set)
    for unit in SERVICES:
        found = settings(unit)
        users[found["StateDirectory"][0]] |= {*found["User"], *found["DynamicUser"]}
    assert users == {"edge-central": {"edge-central"}, "edge-runtime": {"edge"}}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    for unit in DEPLOY.iterdir():
        text = unit.read_text().replace("/opt/edge/bin/edge-", "/bin/true edge-")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    names = [unit.name for unit in DEPLOY.iterdir()]
    assert not [line for line in done.stderr.splitlines() if any(n in line for n in names)]


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_systemd(READY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        tell_systemd(READY, ALIVE)
        assert manager.recv(100) == b"READY=1\nWATCHDOG=1"


def test_a_service_manager_that_is_away_or_never_reads_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    tell_systemd(READY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        for _ in range(2_000):
            tell_systemd(ALIVE)


def test_a_device_whose_updates_ended_unforeseen_says_no_more_that_it_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        ended = Thread(target=lambda: None)
        ended.start()
        ended.join()
        _alive(ended)
        with pytest.raises(BlockingIOError):
            manager.recv(100)
