"""Kills a device at every step of its updates and looks at what it starts with afterwards.

``python tests/updater/crash_points.py [--every N]`` forks one child per step: every call that
writes, syncs, renames, links, deletes or commits, in Python's C functions, is counted, and the
child is killed just before its step. Afterwards the device must start with a complete bundle, the
old or the new, and the same update done again must come to its end. Prints the points per stage.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from device_kit import Till, Works

from edge_runtime.journal import Journal, TurnRecord
from sync.updater.probation import check_probation, take_back

BOUNDARIES = frozenset(
    {
        *("write", "writelines", "flush", "fsync", "open", "close", "truncate", "ftruncate"),
        *("replace", "rename", "link", "symlink", "unlink", "remove", "rmdir", "mkdir"),
        *("chmod", "fchmod", "sendfile", "execute", "executemany", "commit"),
    }
)
KILLED = 137
PASSES = ("sh", "-c", """echo '{"problem": "", "turns": 0, "peak_mb": 9}'""")
OLD = {"llm/model.gguf": b"old weights" * 3000, "pack/a.toml": b"same"}
NEW = {"llm/model.gguf": b"new weights" * 3000, "pack/a.toml": b"same"}


class Scene:
    """A device that runs version 1 for good; version 2 is published. Copied for every point."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.works = Works(folder)
        self.works.publish("1", OLD)
        self.till("start").pull(command=PASSES)
        self.till("start").home.slots.commit()
        self.works.publish("2", NEW)
        shutil.copytree(folder / "start", folder / "switched")
        self.till("switched").pull(command=PASSES)
        shutil.copytree(folder / "switched", folder / "proved")
        self._talk("proved")

    def till(self, name: str) -> Till:
        return Till(self.folder / name, self.works)

    def journal(self, till: Till) -> closing[Journal]:
        return closing(Journal.open(till.settings.data_dir / "journal.db"))

    def _talk(self, name: str) -> None:
        with self.journal(self.till(name)) as journal:
            for number in range(60):
                at = datetime.now(UTC) - timedelta(hours=2)
                turn = TurnRecord(f"t{number}", f"s{number}", at.isoformat(), "en", "text", "hi")
                answered = {"decision": "answer", "intent": "hours"}
                journal.record(TurnRecord(**{**_fields(turn), **answered}), state_json=None)


def _fields(turn: TurnRecord) -> dict[str, Any]:
    return {name: getattr(turn, name) for name in TurnRecord.__dataclass_fields__}


def update(scene: Scene, till: Till) -> None:
    till.pull(command=PASSES)


def keep(scene: Scene, till: Till) -> None:
    with scene.journal(till) as journal:
        check_probation(till.home, journal)


def take_it_back(scene: Scene, till: Till) -> None:
    with scene.journal(till) as journal:
        running = till.home.running
        if running is not None and till.home.slots.state.on_trial:
            take_back(till.home, journal, running, "worse", {}, datetime.now(UTC))


def fail_to_start(scene: Scene, till: Till) -> None:
    for _ in range(4):
        till.home.slots.begin_start()
    with scene.journal(till) as journal:
        check_probation(till.home, journal)


STAGES: dict[str, tuple[str, Callable[[Scene, Till], None], dict[str, bytes]]] = {
    "download and switch": ("start", update, NEW),
    "commit": ("proved", keep, NEW),
    "rollback": ("switched", take_it_back, OLD),
    "failed starts": ("switched", fail_to_start, OLD),
}


def killed_at(step: int, action: Callable[[], None]) -> int:
    """Run ``action`` in a child that dies before its ``step``-th boundary; its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = step

    def watch(frame: FrameType, event: str, called: Any) -> None:
        nonlocal left
        if event == "c_call" and called.__name__ in BOUNDARIES:
            left -= 1
            if left == 0:
                os._exit(KILLED)

    try:
        sys.setprofile(watch)
        action()
        sys.setprofile(None)
        os._exit(0)
    except BaseException:
        sys.setprofile(None)
        traceback.print_exc()
        os._exit(1)


def enumerate_stage(scene: Scene, stage: str, every: int) -> int:
    """Kill at every ``every``-th step of a stage; how many points were tried."""
    start, action, expected = STAGES[stage]
    points, step = 0, 1
    while True:
        place = scene.folder / "point"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(scene.folder / start, place)
        status = killed_at(step, lambda: action(scene, scene.till("point")))
        assert status in {0, KILLED}, f"{stage}, step {step}: exit {status}"
        till = scene.till("point")
        slot = till.home.slots.begin_start()
        assert slot is not None, f"{stage}, step {step}: nothing to start"
        assert till.running() in (OLD, NEW), f"{stage}, step {step}: a mixture starts"
        till.home.slots.started()
        action(scene, scene.till("point"))
        assert till.running() == expected, f"{stage}, step {step}: did not come to its end"
        if status == 0:
            return points
        points += 1
        step += every


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        scene = Scene(Path(scratch))
        counts = {stage: enumerate_stage(scene, stage, options.every) for stage in STAGES}
    print(json.dumps({"points": sum(counts.values()), **counts}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
