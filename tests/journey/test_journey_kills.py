"""A device killed at random while it records, sends and updates: it always starts, and both sides
end up equal. ``EDGE_FAULTS=full`` kills it 500 times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from journey_kit import Centre, centre
from killed_device import PASSES, RULE, settings_in
from sqlalchemy import select

from edge_runtime.bundles.running import begin_bundle
from edge_runtime.journal import Journal
from sync.central.tables import DeviceUpdate, StoredRecord
from sync.link import enroll, open_client
from sync.updater.following import Follower
from sync.updater.home import UpdateHome
from sync.uplink import Uplink

KILLS = 500 if os.environ.get("EDGE_FAULTS") == "full" else 25
ROUNDS = 10 if KILLS == 500 else 2
HERE = Path(__file__).parent


def publish(head_office: Centre, version: str) -> dict[str, bytes]:
    """A small bundle: its name for content, enough of it to be killed in the middle."""
    files = {"model.bin": version.encode() * 200_000, "labels.txt": b"the same in all"}
    head_office.publish_files(version, files)
    head_office.roll_out(version)
    return files


@pytest.mark.timeout(1800)
def test_random_kills_leave_a_device_that_starts_and_a_server_that_knows_all(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "till"
    settings = settings_in(folder)
    home = UpdateHome(settings)
    told: list[str] = []
    killed = 0
    published: list[dict[str, bytes]] = [{}]
    with centre(tmp_path / "central") as head_office:
        home.trusted_root(head_office.root)
        with closing(Journal.open(settings.data_dir / "journal.db")) as journal:
            code = head_office.ask("POST", "/v1/enrolments", json={})["code"]
            link = enroll(head_office.url, code, journal.device_id, settings.data_dir)
        for number in range(1, ROUNDS + 1):
            published.append(publish(head_office, str(number)))
            command = [sys.executable, HERE / "killed_device.py", folder]
            lived = subprocess.run(
                [*command, str(KILLS // ROUNDS + 1), str(number)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert lived.returncode == 0, lived.stderr[-3000:]
            found = json.loads(lived.stdout)
            told, killed = found["turns"], killed + found["killed"]
            active = home.slots.state.active
            running = {} if active is None else home.slots.files(active)
            models = {n: p.read_bytes() for n, p in running.items() if not n.startswith("cards/")}
            assert models in published
        with (
            closing(Journal.open(settings.data_dir / "journal.db")) as journal,
            open_client(link) as client,
        ):
            follower = Follower(
                home, journal, Uplink(journal, client).exchange, command=PASSES, rule=RULE
            )
            for _ in range(4):
                bundle = begin_bundle(home.slots)
                home.slots.started()
                home.slots.prove(bundle.manifest if bundle else None)
                follower.step(datetime.now(UTC) + timedelta(hours=1))
            report = Uplink(journal, client).push()
            kept = [turn.turn_id for _, turn in journal.turns_since(limit=10**6)]
            last = journal.outbox.highest()
        with head_office.database.read() as session:
            rows = session.execute(
                select(StoredRecord.seq, StoredRecord.kind, StoredRecord.payload)
            )
            arrived = [(seq, kind, json.loads(payload)) for seq, kind, payload in rows]
            states = list(session.scalars(select(DeviceUpdate.state)))
        (seen,) = head_office.ask("GET", "/v1/devices")
    print(f"{killed} kills, {len(told)} turns told, {len(kept)} kept, updates: {states}")
    assert killed >= KILLS
    assert told
    assert set(told) <= set(kept)
    assert report.remaining == 0
    assert sorted(seq for seq, _, _ in arrived) == list(range(1, last + 1))
    assert sorted(body["turn_id"] for _, kind, body in arrived if kind == "turn") == sorted(kept)
    proved = home.slots.proved
    assert seen["running_version"] == (proved.version if proved else "")
