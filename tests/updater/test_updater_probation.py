"""A bundle on trial is kept when it is as good as the last, taken back when it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from device_kit import Till, Works

from edge_runtime.bundles.crashes import ServingNote
from edge_runtime.journal import Journal, TurnRecord
from sync.errors import UpdateRefusedError
from sync.health import RollbackRule, rollback_probability
from sync.updater.observing import observe
from sync.updater.probation import RARE, check_probation, crashes_too_often

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=5)


def talk(
    journal: Journal, count: int, name: str, *, good: int | None = None, **fields: Any
) -> None:
    """``count`` dialogues of one turn each, the first ``good`` of them answered."""
    for number in range(count):
        answered = number < (count if good is None else good)
        turn = {
            "turn_id": f"{name}{number}",
            "session": f"{name}{number}",
            "started_at": (LONG_AGO + timedelta(seconds=number)).isoformat(),
            "language": "en",
            "source": "text",
            "text": "hi",
            "intent": "hours",
            "decision": "answer" if answered else "clarify",
            "timings_ms": {"first_token": 300.0},
            "memory_mb": 200,
            **fields,
        }
        journal.record(TurnRecord(**turn), state_json=None)


@pytest.fixture
def trial(till: Till, works: Works, journal: Journal) -> Till:
    """Version 1 has proved itself over 60 dialogues, version 2 has just been installed."""
    works.publish("1", {"m": b"1"})
    till.pull()
    till.home.slots.commit()
    talk(journal, 60, "before")
    works.publish("2", {"m": b"2"})
    till.pull(last_turn=journal.newest)
    return till


def audits(journal: Journal) -> list[dict[str, Any]]:
    records = journal.outbox.pending(limit_bytes=10**8, limit_records=1000)
    return [json.loads(record.payload) for record in records if record.kind == "audit"]


def test_a_bundle_as_good_as_the_last_is_kept(trial: Till, journal: Journal) -> None:
    talk(journal, 30, "first")
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert verdict.verdict == "watch"
    assert trial.home.slots.state.on_trial
    talk(journal, 30, "then")
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert verdict.verdict == "commit"
    assert not trial.home.slots.state.on_trial
    assert trial.running() == {"m": b"2"}
    assert check_probation(trial.home, journal, now=NOW) is None


def test_a_bundle_that_completes_too_little_is_taken_back_with_its_evidence(
    trial: Till, journal: Journal
) -> None:
    talk(journal, 30, "bad", good=15)
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert verdict.verdict == "rollback"
    assert "dialogues were completed" in verdict.reason
    assert verdict.evidence["before"]["completed"] == 60
    assert trial.running() == {"m": b"1"}
    assert trial.home.rejected()[0].reason == verdict.reason
    (told,) = audits(journal)
    assert told["event"] == "update_taken_back"
    assert told["detail"]["version"] == "2"
    assert told["detail"]["after.dialogues"] == "30"


def test_what_was_taken_back_comes_again_only_by_a_new_decision(
    trial: Till, works: Works, journal: Journal
) -> None:
    talk(journal, 30, "bad", good=0)
    check_probation(trial.home, journal, now=NOW)
    with pytest.raises(UpdateRefusedError, match="taken back here"):
        trial.pull()
    works.publish("2", {"m": b"2"})
    assert trial.pull().release.version == "2"


def test_dialogues_still_open_do_not_count(trial: Till, journal: Journal) -> None:
    talk(journal, 60, "bad", good=0, started_at=(NOW - timedelta(minutes=29)).isoformat())
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert (verdict.verdict, verdict.evidence["after"]["dialogues"]) == ("watch", 0)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"timings_ms": {"first_token": 900.0}}, "twice as late"),
        ({"memory_mb": 9000}, "memory"),
    ],
)
def test_a_bundle_that_is_slow_or_heavy_is_taken_back(
    trial: Till, journal: Journal, fields: dict[str, Any], why: str
) -> None:
    talk(journal, 60, "bad", **fields)
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert verdict.verdict == "rollback"
    assert why in verdict.reason


def test_a_few_slow_turns_are_no_reason(trial: Till, journal: Journal) -> None:
    talk(journal, 54, "fine")
    talk(journal, 6, "slow", timings_ms={"first_token": 5000.0})
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert verdict.verdict == "commit"


def test_a_bundle_that_did_not_start_is_noted_and_not_fetched_again(
    trial: Till, journal: Journal
) -> None:
    for _ in range(4):
        trial.home.slots.begin_start()
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert "did not start" in verdict.reason
    with pytest.raises(UpdateRefusedError, match="did not start"):
        trial.pull()
    assert check_probation(trial.home, journal, now=NOW) is None


def crash(till: Till, times: int, *, power_cut: bool = False) -> None:
    """Processes that serve what is active and are killed, noticed by the next one's start."""
    served = till.home.slots.manifest(till.home.slots.state.active or "a").digest
    for number in range(times):
        process = ServingNote(till.home.slots.root, f"run {number}" if power_cut else "one")
        process.serve(served)
        assert process._file is not None
        process._file.close()
    watching = ServingNote(till.home.slots.root, "one")
    watching.serve(served)
    watching.end()


def test_a_bundle_that_keeps_crashing_is_taken_back_before_its_window_is_full(
    trial: Till, journal: Journal
) -> None:
    talk(journal, 10, "fine")
    crash(trial, 2)
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert verdict.verdict == "watch"
    crash(trial, 1)
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert (verdict.verdict, verdict.reason) == ("rollback", "It crashed 3 times over 10 turns.")
    assert verdict.evidence["after"]["crashed"] == 3
    assert trial.running() == {"m": b"1"}


def test_power_cuts_and_crashes_like_those_before_are_no_reason(
    trial: Till, journal: Journal
) -> None:
    crash(trial, 9, power_cut=True)
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert verdict.evidence["after"]["crashed"] == 0
    seen = observe([], NOW, 3)
    assert crashes_too_often(seen, observe([], NOW, 0))
    assert not crashes_too_often(replace(seen, turns=30), replace(seen, turns=60))


def test_a_new_decision_begins_without_the_crashes_of_the_last_trial(
    trial: Till, works: Works, journal: Journal
) -> None:
    crash(trial, 5)
    check_probation(trial.home, journal, now=NOW)
    assert trial.running() == {"m": b"1"}
    works.publish("2", {"m": b"2"})
    trial.pull(last_turn=journal.newest)
    verdict = check_probation(trial.home, journal, now=NOW)
    assert verdict is not None
    assert (verdict.verdict, verdict.evidence["after"]["crashed"]) == ("watch", 0)


def test_late_looking_judges_as_looking_after_every_dialogue() -> None:
    rule = RollbackRule()
    history = [False] * 30 + [True] * 1000
    assert rule.judge_history(history).dialogues == rule.minimum
    assert rule.judge_history([True] * 1000).dialogues == rule.window


def crash_rollback_probability(rate: float, trials: int) -> float:
    """Exactly, for a version that crashes in ``rate`` of turns and is judged after each."""
    watched, taken_back = {0: 1.0}, 0.0
    none = observe([], NOW)
    for trial in range(1, trials + 1):
        step: dict[int, float] = {}
        for crashed, mass in watched.items():
            step[crashed + 1] = step.get(crashed + 1, 0.0) + mass * rate
            step[crashed] = step.get(crashed, 0.0) + mass * (1 - rate)
        watched = {}
        for crashed, mass in step.items():
            seen = replace(none, turns=trial - crashed, crashed=crashed)
            if crashed < 12 and not crashes_too_often(seen, none):
                watched[crashed] = mass
            else:
                taken_back += mass
    return taken_back


def test_all_rules_together_take_a_healthy_bundle_back_in_less_than_one_case_of_a_hundred() -> None:
    crashing = crash_rollback_probability(0.001, 300)
    assert crashing < 1e-4
    assert rollback_probability(RollbackRule(), 0.90) + 4 * RARE + crashing <= 0.01
    assert rollback_probability(RollbackRule(), 0.70) >= 0.91
