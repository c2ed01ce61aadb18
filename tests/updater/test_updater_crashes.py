"""The device loses power at any step of an update: it always starts with a complete bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_no_step_at_which_power_is_lost_leaves_a_device_that_cannot_start() -> None:
    """Every 61st of about 1,700 steps here; ``crash_points.py`` alone goes through all of them."""
    path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
    done = subprocess.run(
        [sys.executable, str(HERE / "crash_points.py"), "--every", "61"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout)
    assert counts["points"] >= 20
    assert all(counts[stage] for stage in ("download and switch", "commit", "rollback"))
