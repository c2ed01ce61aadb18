"""Cut off at every file operation of journal and uplink: nothing lost, nothing twice.

``EDGE_FAULTS=full`` visits every operation, and each power cut three times with other losses.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from crash_vfs import library

FULL = os.environ.get("EDGE_FAULTS") == "full"
DEVICE = Path(__file__).with_name("crash_device.py")
pytestmark = pytest.mark.skipif(
    library() is None, reason="SQLite is linked into Python: its file operations cannot be seen"
)


def cut_off(way: str, folder: Path, *, stride: int, rounds: int = 1) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, DEVICE, way, folder, str(stride), str(rounds)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"{way}: {found['points']} points, {len(found['failures'])} failures")
    return found


@pytest.mark.timeout(1800)
def test_a_process_killed_before_any_file_operation_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    found = cut_off("kill", tmp_path, stride=1 if FULL else 11)
    assert found["failures"] == []
    assert found["points"] >= (400 if FULL else 40)
    assert {"write .db-wal", "sync .db-wal", "write .db"} <= found["operations"].keys()


@pytest.mark.timeout(1800)
def test_a_power_cut_before_any_file_operation_loses_and_doubles_nothing(tmp_path: Path) -> None:
    found = cut_off("power", tmp_path, stride=1 if FULL else 5, rounds=3 if FULL else 1)
    assert found["failures"] == []
    assert found["points"] >= (1200 if FULL else 80)


def test_a_disk_that_ignores_syncs_is_found_out(tmp_path: Path) -> None:
    assert cut_off("power-unsynced", tmp_path, stride=40)["failures"]
