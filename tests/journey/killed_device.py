"""A device's life, killed at random: ``python killed_device.py FOLDER CHILDREN SEED``.

Forks one child after another. Each starts the bundle of its slot as the runtime does, then records
turns, sends them and follows the server's rollouts until it is killed, some milliseconds later.
Prints one JSON object: the turns that children told of, how many were killed in the middle, and how
many updates they brought to which end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_runtime.bundles.running import begin_bundle
from edge_runtime.config import Settings
from edge_runtime.journal import Journal, TurnRecord
from sync.errors import SyncError
from sync.health import RollbackRule
from sync.link import load_link, open_client
from sync.updater.following import Follower
from sync.updater.home import UpdateHome
from sync.uplink import Uplink

PASSES = ("sh", "-c", """echo '{"problem": "", "turns": 0, "peak_mb": 9}'""")
RULE = RollbackRule(minimum=3, window=3)
LONGEST_S = 0.3


def settings_in(folder: Path) -> Settings:
    return Settings(data_dir=folder / "data", models_dir=folder / "models", profile="lite")


def live(folder: Path, number: int, tell: int) -> None:
    """One child's life; it tells of every turn that was recorded and every state it saw."""
    settings = settings_in(folder)
    home = UpdateHome(settings)
    link = load_link(settings.data_dir)
    assert link is not None
    with (
        closing(Journal.open(settings.data_dir / "journal.db")) as journal,
        open_client(link) as client,
    ):
        bundle = begin_bundle(home.slots)
        home.slots.started()
        home.slots.prove(bundle.manifest if bundle else None)
        uplink = Uplink(journal, client)
        follower = Follower(home, journal, uplink.exchange, command=PASSES, rule=RULE)
        for step in range(1000):
            turn = _turn(f"{number}-{step}", "" if bundle is None else bundle.label)
            journal.record(turn, state_json=None)
            os.write(tell, f"turn {turn.turn_id}\n".encode())
            with suppress(SyncError):
                uplink.push()
                followed = follower.step(datetime.now(UTC) + timedelta(hours=1))
                if followed is not None:
                    os.write(tell, f"state {followed.state}\n".encode())


def _turn(name: str, bundle: str) -> TurnRecord:
    return TurnRecord(
        name, name, datetime.now(UTC).isoformat(), "en", "text", "hi",
        intent="hours", decision="answer", reply="from nine", models={"bundle": bundle},
    )  # fmt: skip


def killed_child(folder: Path, number: int, chance: random.Random, tell: int) -> bool:
    """Whether the child was killed while it lived; one that failed on its own raises.

    One in five dies while it starts, the others at work.
    """
    child = os.fork()
    if not child:
        try:
            live(folder, number, tell)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    before = os.fstat(tell).st_size
    deadline = time.monotonic() + (0.0 if chance.random() < 0.2 else 20.0)
    while os.fstat(tell).st_size == before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, LONGEST_S))
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != -signal.SIGKILL:
        raise SystemExit(f"child {number} ended by itself: {status}")
    return True


def main(folder: Path, children: int, seed: int) -> int:
    chance = random.Random(seed)
    told = folder / "told"
    killed = 0
    with told.open("ab", buffering=0) as tell:
        for number in range(children):
            killed += killed_child(folder, seed * 1000 + number, chance, tell.fileno())
    lines = told.read_text().splitlines()
    turns = [line.removeprefix("turn ") for line in lines if line.startswith("turn ")]
    states = Counter(line.removeprefix("state ") for line in lines if line.startswith("state "))
    print(json.dumps({"killed": killed, "turns": turns, "states": states}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
