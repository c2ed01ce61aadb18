"""A device killed at random while it records and sends, and a real server: both end up equal.

``EDGE_FAULTS=full`` kills it 500 times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select
from sync_kit import Central

from edge_runtime.journal import Journal
from sync.central.tables import StoredRecord
from sync.link import enroll, open_client
from sync.uplink import Uplink

KILLS = 500 if os.environ.get("EDGE_FAULTS") == "full" else 40
DEVICE = Path(__file__).parents[1] / "faults" / "killed_uplink.py"
LEAST = 1 / 20
"""Of the kills that must fall in each phase."""


@pytest.mark.timeout(3000)
def test_random_kills_lose_no_turn_and_double_none(central: Central, tmp_path: Path) -> None:
    folder = tmp_path / "till"
    with closing(Journal.open(folder / "journal.db")) as journal:
        link = enroll(central.url, central.code(), journal.device_id, folder)
    done = subprocess.run(
        [sys.executable, DEVICE, folder, str(KILLS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    told, fell = found["told"], found["fell"]
    with closing(Journal.open(folder / "journal.db")) as journal, open_client(link) as client:
        assert journal.recovered is None
        report = Uplink(journal, client).push()
        kept = [turn.turn_id for _, turn in journal.turns_since(limit=10**6)]
        last = journal.outbox.highest()
    with central.database.read() as session:
        rows = session.execute(select(StoredRecord.seq, StoredRecord.kind, StoredRecord.payload))
        arrived = [(seq, kind, json.loads(payload)["turn_id"]) for seq, kind, payload in rows]
    print(f"{sum(fell.values())} kills {fell}, {len(told)} turns told, {len(kept)} kept")
    assert sum(fell.values()) == KILLS
    assert [name for name, count in fell.items() if count < KILLS * LEAST] == []
    assert set(told) <= set(kept)
    assert (report.remaining, report.contiguous) == (0, last)
    assert sorted(seq for seq, _, _ in arrived) == list(range(1, last + 1))
    assert sorted(t for _, kind, t in arrived if kind == "turn") == sorted(kept)
