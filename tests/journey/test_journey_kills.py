"""A device killed all through the lives of its updates: it always starts, and both sides end up
equal. ``EDGE_FAULTS=full`` kills it 500 times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from journey_kit import Centre, centre
from killed_device import settings_in
from sqlalchemy import select

from edge_runtime.journal import Journal
from sync.central.tables import StoredRecord
from sync.link import enroll, open_client
from sync.updater.home import UpdateHome
from sync.uplink import Uplink

KILLS = 500 if os.environ.get("EDGE_FAULTS") == "full" else 25
LEAST = max(KILLS // 40, 1)
"""Kills that must fall in each phase."""
MOST_UPDATES = max(KILLS // 4, 12)
DEVICE = Path(__file__).with_name("killed_device.py")
FAULTS = Path(__file__).parents[1] / "faults"


def published(head_office: Centre, version: str) -> dict[str, bytes]:
    """A small bundle: its name for content, enough of it to be killed in the middle."""
    files = {"model.bin": version.encode() * 200_000, "labels.txt": b"the same in all"}
    head_office.publish_files(version, files)
    head_office.roll_out(version)
    return files


@contextmanager
def killed_device(folder: Path) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")])
    folder.mkdir()
    with (folder / "complaints").open("w") as complaints:
        process = subprocess.Popen(
            [sys.executable, DEVICE, folder, "20261126"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        with process:
            yield process


def lived(process: subprocess.Popen[str], folder: Path, **offered: object) -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    print(json.dumps(offered), file=process.stdin, flush=True)
    line = process.stdout.readline()
    assert line, (folder / "complaints").read_text()[-3000:]
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.timeout(3000)
def test_kills_all_through_an_update_leave_a_device_that_starts_and_a_server_that_knows_all(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "till"
    settings = settings_in(folder)
    home = UpdateHome(settings)
    fell: dict[str, int] = {}
    ends: dict[str, str] = {}
    runs, files = "", {"": {}}
    with centre(tmp_path / "central") as head_office, killed_device(folder) as device:
        home.trusted_root(head_office.root)
        with closing(Journal.open(settings.data_dir / "journal.db")) as journal:
            code = head_office.ask("POST", "/v1/enrolments", json={})["code"]
            link = enroll(head_office.url, code, journal.device_id, settings.data_dir)
        for number in range(1, MOST_UPDATES):
            version, good = str(number), number % 2 == 1
            files[version] = published(head_office, version)
            found = lived(device, folder, version=version, good=good)
            fell, told = found["fell"], found["told"]
            ends[version] = head_office.update(number)["state"]
            print(f"update {version} {ends[version]}, kills so far: {fell}", flush=True)
            # A good bundle that was killed three times while it started goes back too.
            assert ends[version] in ({"committed", "rolled_back"} if good else {"rolled_back"})
            runs = version if ends[version] == "committed" else runs
            assert found["runs"] == runs
            if sum(fell.values()) >= KILLS and min(fell.values()) >= LEAST:
                break
        with (
            closing(Journal.open(settings.data_dir / "journal.db")) as journal,
            open_client(link) as client,
        ):
            report = Uplink(journal, client).push()
            kept = [turn.turn_id for _, turn in journal.turns_since(limit=10**6)]
            last = journal.outbox.highest()
        with head_office.database.read() as session:
            rows = session.execute(
                select(StoredRecord.seq, StoredRecord.kind, StoredRecord.payload)
            )
            arrived = [(seq, kind, json.loads(payload)) for seq, kind, payload in rows]
        (seen,) = head_office.ask("GET", "/v1/devices")
    kept_for_good = sum(end == "committed" for end in ends.values())
    print(
        f"{sum(fell.values())} kills {fell}, {len(told)} turns told, {len(kept)} kept, "
        f"{len(ends)} updates, {kept_for_good} committed"
    )
    assert sum(fell.values()) >= KILLS
    assert [phase for phase, count in fell.items() if count < LEAST] == []
    assert told
    assert set(told) <= set(kept)
    assert report.remaining == 0
    assert sorted(seq for seq, _, _ in arrived) == list(range(1, last + 1))
    assert sorted(body["turn_id"] for _, kind, body in arrived if kind == "turn") == sorted(kept)
    active = home.slots.state.active
    running = {} if active is None else home.slots.files(active)
    models = {n: p.read_bytes() for n, p in running.items() if not n.startswith("cards/")}
    assert models == files[runs]
    assert seen["running_version"] == runs
