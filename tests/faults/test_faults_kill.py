"""Pulling the plug: whatever was answered is in the journal, and the next start just works."""

from __future__ import annotations

import json
import random
import subprocess
import threading
from pathlib import Path

import pytest
from e2e.cli_kit import EDGE, edge, environment, prepared_data

from edge_runtime.journal import Journal

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("cli")]

KILLS = 20
PATIENCE_S = 60
QUESTIONS = (
    "外套能退吗?",
    "bread can be returned?",
    "我的订单什么时候到?",
    "R20261120001",
    "转人工",
    "¿A qué hora cierran?",
)


def killed_chat(data: Path, chance: random.Random) -> list[str]:
    """Chat, kill it without warning at some moment; the turns whose end had been printed."""
    with subprocess.Popen(
        [EDGE, "chat", "--json", "--profile", "lite", "--session", f"s{chance.randrange(3)}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(data),
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n".join(QUESTIONS * 40) + "\n")
        process.stdin.flush()
        first = process.stdout.readline()
        timer = threading.Timer(chance.uniform(0, 0.25), process.kill)
        timer.start()
        lines = [first, *process.stdout]
        assert process.wait(PATIENCE_S) == -9
        timer.join()
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event["turn_id"] for event in whole if event["type"] == "done"]


def test_no_turn_that_was_answered_is_lost_to_a_killed_process(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = prepared_data(tmp_path_factory, "killed")
    chance = random.Random(20261124)
    answered: list[str] = []
    for _ in range(KILLS):
        answered += killed_chat(data, chance)
        journal = Journal.open(data / "journal.db")
        kept = [turn for _, turn in journal.turns_since(limit=100_000)]
        assert journal.recovered is None
        journal.close()
        assert set(answered) <= {turn.turn_id for turn in kept}
        assert len(kept) == len({turn.turn_id for turn in kept})
    assert len(answered) > KILLS
    after = edge("ask", "外套能退吗?", "--profile", "lite", "--json", data=data)
    assert after.json["sources"] == ["returns#clothing"]
