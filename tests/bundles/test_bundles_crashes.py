"""A process that served and did not end well is found out by the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.bundles.crashes import ServingNote, crashes

BUNDLE = "ab" * 32
SERVES = """
import os, signal, sys
from pathlib import Path
from edge_runtime.bundles.crashes import ServingNote
note = ServingNote(Path(sys.argv[1]), "boot")
note.serve(sys.argv[2] or None)
if sys.argv[3] == "ends":
    note.end()
os.kill(os.getpid(), signal.SIGKILL)
"""


def served(root: Path, bundle: str, end: str) -> None:
    words = [sys.executable, "-c", SERVES, str(root), bundle, end]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL


def noticed(root: Path, boot: str = "boot") -> list[str]:
    next_one = ServingNote(root, boot)
    next_one.serve(BUNDLE)
    next_one.end()
    return [crash.sha256 for crash in crashes(root)]


@pytest.mark.parametrize(
    ("bundle", "end", "boot", "found"),
    [
        (BUNDLE, "crashes", "boot", [BUNDLE]),
        (BUNDLE, "ends", "boot", []),
        (BUNDLE, "crashes", "the next boot", []),
        ("", "crashes", "boot", []),
    ],
)
def test_a_crash_counts_unless_it_ended_well_lost_power_or_served_no_bundle(
    tmp_path: Path, bundle: str, end: str, boot: str, found: list[str]
) -> None:
    served(tmp_path, bundle, end)
    assert noticed(tmp_path, boot) == found
    assert noticed(tmp_path, boot) == found


def test_a_process_that_still_serves_has_not_crashed(tmp_path: Path) -> None:
    here = ServingNote(tmp_path, "boot")
    here.serve(BUNDLE)
    here.serve(BUNDLE)
    assert noticed(tmp_path) == []
    here.end()


def test_nonsense_in_the_way_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "serving").mkdir()
    for number, text in enumerate(["", "[", '["boot"]', '["boot", "x"]', "7", "null"]):
        (tmp_path / "serving" / str(number)).write_text(text)
    (tmp_path / "crashes.json").write_text("{")
    assert noticed(tmp_path) == []
    assert crashes(tmp_path) == []
