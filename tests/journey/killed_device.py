"""A device killed through the whole life of one update after another.

``python killed_device.py FOLDER SEED`` reads from standard input which bundle is offered now, a
line of JSON ``{"version": …, "good": …}``, and brings that update to its end, killed over and over
on the way. Then it prints a line: the turns told of so far, in which phases the kills fell, and
what runs in the end.

Each child starts the bundle of its slot as the runtime does, records turns, sends them and follows
the server's rollouts, until it is killed or the server knows how the update ended. After each kill
the active slot must hold a whole bundle, the new one or the one before it.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from killing import Phases, share_one_context

from edge_runtime.bundles.running import RunningBundle, begin_bundle
from edge_runtime.bundles.slots import Slots
from edge_runtime.config import Settings
from edge_runtime.journal import Journal, TurnRecord
from sync.errors import SyncError
from sync.health import RollbackRule
from sync.link import load_link, open_client
from sync.updater import following, install, probation
from sync.updater.following import OVER, Follower
from sync.updater.home import UpdateHome
from sync.uplink import Uplink

EVER = ("start", "turn", "push", "report")
INSTALLING = ("fetch", "fill", "smoke test", "switch")
PHASES = (*EVER, *INSTALLING, "probation", "commit", "rollback")
PASSES = ("sh", "-c", """echo '{"problem": "", "turns": 0, "peak_mb": 9}'""")
RULE = RollbackRule(minimum=3, window=3)
MOST_STEPS = 50


def settings_in(folder: Path) -> Settings:
    return Settings(data_dir=folder / "data", models_dir=folder / "models", profile="lite")


class Device:
    """One device, its lives and what was seen of them."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.settings = settings_in(folder)
        self.home = UpdateHome(self.settings)
        self.chance = chance
        self.phases = Phases(PHASES)
        self.fell: Counter[str] = Counter()
        self.told = folder / "told"
        self.told.touch()
        self._watch()

    def update(self, version: str, *, good: bool) -> None:
        """Bring an update to its end, killed in random phases of its life on the way.

        The first is lived here, in the parent: it shows how long each phase takes, and leaves to
        the children nothing to load.
        """
        before, bad = self.version(), "" if good else version
        if not before:
            self.phases.begin()
            self.live(bad)
            return
        ending = ["commit" if good else "rollback"] * self.chance.randint(2, 4)
        targets = [*self._some(EVER + INSTALLING), *self._some((*EVER[:3], "probation")), *ending]
        for target in (*targets, *self._some(("report",)), None):
            if target in INSTALLING and self.version() == version:
                continue
            died = self.phases.killed_in(target, lambda: self.live(bad), self.chance)
            if died is None:
                return
            self.fell[died] += 1
            assert self.version() in {before, version}

    def _some(self, phases: tuple[str, ...]) -> list[str]:
        """Each of the phases up to twice, and once more where fewer kills fell than elsewhere."""
        mean = self.fell.total() / len(PHASES)
        times = {phase: self.chance.randint(0, 2) + (self.fell[phase] < mean) for phase in phases}
        return [phase for phase in phases for _ in range(times[phase])]

    def version(self) -> str:
        """What would start now, every byte of it checked."""
        active = self.home.slots.state.active
        if active is None:
            return ""
        self.home.slots.files(active)
        return self.home.slots.manifest(active).version

    def live(self, bad: str) -> None:
        """One child's life, until the server has heard how the update ended.

        Args:
            bad: the version that hands its customers to a person, or "".
        """
        link = load_link(self.settings.data_dir)
        assert link is not None
        with (
            closing(Journal.open(self.settings.data_dir / "journal.db")) as journal,
            open_client(link) as client,
            self.told.open("ab", buffering=0) as told,
        ):
            bundle = self._started()
            uplink = Uplink(journal, client)
            follower = Follower(self.home, journal, uplink.exchange, command=PASSES, rule=RULE)
            for _ in range(MOST_STEPS):
                turn = _turn(f"t{journal.newest + 1}", bundle, bad)
                journal.record(turn, state_json=None)
                told.write(f"{turn.turn_id}\n".encode())
                try:
                    uplink.push()
                    followed = follower.step(datetime.now(UTC) + timedelta(hours=1))
                except SyncError:  # a server too busy to answer; the next round tries again
                    continue
                if followed is None or followed.state in OVER:
                    return
                if bundle is None or self.home.slots.state.active != bundle.slot:
                    bundle = self._started()
        raise AssertionError("The update did not come to its end.")

    def _started(self) -> RunningBundle | None:
        bundle = begin_bundle(self.home.slots)
        assert (bundle is None) == (self.home.slots.state.active is None)
        self.home.slots.started()
        self.home.slots.prove(bundle.manifest if bundle else None)
        return bundle

    def _watch(self) -> None:
        """Have the functions that do the work tell which phase it is in."""
        for name, owner, function in (
            ("turn", Journal, "record"),
            ("push", Uplink, "push"),
            ("fetch", following, "install"),
            ("fill", Slots, "fill"),
            ("smoke test", install, "try_bundle"),
            ("switch", Slots, "activate"),
            ("commit", Slots, "commit"),
            ("rollback", probation, "take_back"),
            ("report", Follower, "_poll"),
        ):
            self.phases.entering(name, owner, function)
        self.phases.watch(following, "check_probation", self._judged)

    def _judged(self, home: UpdateHome, *_: object) -> None:
        state = home.slots.state
        if state.fallen is not None:
            self.phases.enter("rollback")
        elif state.on_trial:
            self.phases.enter("probation")


def _turn(name: str, bundle: RunningBundle | None, bad: str) -> TurnRecord:
    worse = bundle is not None and bundle.manifest.version == bad
    return TurnRecord(
        name, name, datetime.now(UTC).isoformat(), "en", "text", "hi",
        intent="hours", decision="handover" if worse else "answer", reply="from nine",
        models={"bundle": "" if bundle is None else bundle.label},
    )  # fmt: skip


def main(folder: Path, seed: int) -> int:
    share_one_context()
    device = Device(folder, random.Random(seed))
    for line in sys.stdin:
        offered = json.loads(line)
        device.update(offered["version"], good=offered["good"])
        fell = {name: device.fell[name] for name in PHASES}
        told = device.told.read_text().split()
        print(json.dumps({"fell": fell, "told": told, "runs": device.version()}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
