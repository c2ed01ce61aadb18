"""A device that is killed while it records and sends: ``python killed_uplink.py FOLDER KILLS``.

Prints one JSON object: the turns that were told of, and how many kills fell in each phase.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections import Counter
from contextlib import closing
from itertools import count
from pathlib import Path

from killing import Phases, share_one_context

from edge_runtime.journal import Journal, TurnRecord
from edge_runtime.journal.outbox import Outbox
from sync.exchange import Exchange
from sync.link import load_link, open_client
from sync.uplink import Uplink

PHASES = ("open", "record", "choose", "send", "acknowledge")
BETWEEN_PUSHES = 3


def turn(number: int) -> TurnRecord:
    return TurnRecord(
        turn_id=f"t{number}",
        session=f"s{number // 3}",
        started_at=f"2026-03-01T{number // 60 % 24:02d}:{number % 60:02d}:00+00:00",
        language="zh",
        source="text",
        text="衣服能退吗",
        reply="七天内可以",
        intent="return",
        decision="handover" if number % 9 == 2 else "answer",
    )


def live(folder: Path, tell: int, last: float = math.inf) -> None:
    """Opens, then records and sends for ever; tells of every turn that was recorded."""
    link = load_link(folder)
    assert link is not None
    with closing(Journal.open(folder / "journal.db")) as journal, open_client(link) as client:
        uplink = Uplink(journal, client, batch_records=5)
        for number in count(journal.newest):
            journal.record(turn(number), state_json=str(number))
            os.write(tell, f"t{number}\n".encode())
            if number % BETWEEN_PUSHES == 0:
                uplink.push(max_batches=2)
            if number >= last:
                return


def main(folder: Path, kills: int) -> int:
    share_one_context()
    chance = random.Random(kills)
    phases = Phases(PHASES)
    for name, owner, function in (
        ("record", Journal, "record"),
        ("choose", Outbox, "pending"),
        ("send", Exchange, "post"),
        ("acknowledge", Outbox, "acknowledge"),
    ):
        phases.entering(name, owner, function)
    fell: Counter[str] = Counter()
    told = folder / "told"
    with told.open("ab", buffering=0) as tell:
        # Shows how long each phase takes, and leaves to the children nothing to load.
        phases.begin()
        live(folder, tell.fileno(), last=BETWEEN_PUSHES)
        for number in range(kills):
            target = PHASES[number % len(PHASES)]
            died = phases.killed_in(target, lambda: live(folder, tell.fileno()), chance)
            assert died is not None
            fell[died] += 1
    counts = {name: fell[name] for name in PHASES}
    print(json.dumps({"fell": counts, "told": told.read_text().split()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
