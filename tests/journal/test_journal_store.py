"""The journal: what was recorded is there, whatever happens next."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_kit import START, turn

from edge_runtime.errors import ConfigError, StorageError
from edge_runtime.journal import Dialogue, Journal, Retention, Step, dialogues


def test_a_turn_comes_back_whole(journal: Journal) -> None:
    given_turn = turn(1, entities=({"type": "order_id", "value": "A1"},), sources=("returns#food",))
    assert journal.record(given_turn, state_json='{"order": "A1"}') == 1
    assert journal.last_turns("s1", 5) == [given_turn]
    assert journal.turns_since(0) == [(1, given_turn)]
    assert journal.session_state("s1") == '{"order": "A1"}'
    assert journal.session_state("unknown") is None


def test_a_state_of_none_leaves_the_session_as_it_was(journal: Journal) -> None:
    journal.record(turn(1), state_json="one")
    journal.record(turn(2), state_json=None)
    assert journal.session_state("s1") == "one"


def test_recording_a_turn_again_changes_nothing(journal: Journal) -> None:
    assert journal.record(turn(1), state_json="a") == journal.record(turn(1), state_json="b")
    assert len(journal.turns_since()) == 1
    assert sum(journal.outbox.counts().pending.values()) == 2
    assert journal.session_state("s1") == "a"


def test_a_handover_puts_an_escalation_with_its_history_first(journal: Journal) -> None:
    journal.record(turn(1, text="打我电话13900139000"), state_json=None)
    journal.record(turn(2, decision="handover"), state_json=None)
    waiting = journal.outbox.pending(limit_bytes=10**6, limit_records=10)
    assert [row.kind for row in waiting] == ["escalation", "turn", "turn", "metric", "metric"]
    assert len(json.loads(waiting[0].payload)["history"]) == 1


def test_nothing_personal_is_in_the_outbox(journal: Journal) -> None:
    journal.record(
        turn(
            1,
            decision="handover",
            user="customer-7",
            session="13800138000",
            normalized="电话 13800138000",
            transcript="一三八零零一三八零零零",
            reply="会打给13800138000",
            reason="caller 13800138000",
            blocked=("13800138000",),
            error="bad 13800138000",
            entities=(
                {"type": "phone", "value": "+8613800138000", "text": "13800138000"},
                {"type": "person", "value": "张伟", "text": "张伟"},
            ),
        ),
        state_json=None,
    )
    journal.audit("something", {"detail": "called 13800138000"})
    everything = "".join(
        r.payload for r in journal.outbox.pending(limit_bytes=10**6, limit_records=9)
    )
    for secret in ("13800138000", "8001380", "一三八", "张伟", "customer-7"):
        assert secret not in everything
    assert "[PHONE:" in everything


def test_sequence_numbers_have_no_gap_after_a_failed_commit(journal: Journal) -> None:
    journal.record(turn(1), state_json=None)
    with pytest.raises(StorageError):
        journal.record(turn(2), state_json="x" * 2_000_000)
    journal.record(turn(3), state_json=None)
    waiting = journal.outbox.pending(limit_bytes=10**6, limit_records=10)
    assert sorted(row.seq for row in waiting) == [1, 2, 3, 4]


def test_acknowledged_records_leave_and_their_numbers_are_not_given_again(journal: Journal) -> None:
    journal.record(turn(1), state_json=None)
    assert journal.outbox.acknowledge([1, 2, 99]) == 2
    journal.record(turn(2), state_json=None)
    assert {r.seq for r in journal.outbox.pending(limit_bytes=10**6, limit_records=9)} == {3, 4}


def test_pending_keeps_to_its_limits_but_is_never_empty_while_something_waits(
    journal: Journal,
) -> None:
    for number in range(5):
        journal.record(turn(number), state_json=None)
    assert len(journal.outbox.pending(limit_bytes=1, limit_records=10)) == 1
    assert len(journal.outbox.pending(limit_bytes=10**6, limit_records=3)) == 3
    metrics = journal.outbox.pending(limit_bytes=10**6, limit_records=99, kinds={"metric"})
    assert [row.kind for row in metrics] == ["metric"] * 5


def test_a_full_disk_is_one_error_and_the_next_record_works_once_there_is_space(
    journal: Journal,
) -> None:
    journal.record(turn(0), state_json=None)
    connection = journal._db.conn
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(StorageError, match="full"):
        for number in range(1, 200):
            journal.record(turn(number, text="长" * 1500), state_json=None)
    kept = [found.turn_id for _, found in journal.turns_since()]
    outgoing = sum(journal.outbox.counts().pending.values())
    assert outgoing == 2 * len(kept)
    connection.execute("PRAGMA max_page_count = 1000000").fetchall()
    assert journal.record(turn(500), state_json=None) == len(kept) + 1


def test_a_read_only_journal_is_a_clear_error(tmp_path: Path) -> None:
    Journal.open(tmp_path / "journal.db").close()
    opened = Journal.open(tmp_path / "journal.db")
    opened._db.conn.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError, match="read-only"):
        opened.record(turn(1), state_json=None)
    opened._db.conn.execute("PRAGMA query_only = OFF")
    assert opened.record(turn(1), state_json=None) == 1
    opened.close()


def test_a_path_that_cannot_hold_a_journal_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Journal.open(tmp_path / "file" / "journal.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StorageError):
        Journal.open(tmp_path / "folder.db")


@pytest.mark.parametrize("damage", ["rubbish", "header", "middle"])
def test_a_damaged_journal_is_moved_aside_and_reported(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.db"
    first = Journal.open(path)
    for number in range(200):
        first.record(turn(number), state_json=None)
    first.close()
    content = bytearray(path.read_bytes())
    if damage == "rubbish":
        content = bytearray(b"rubbish" * 1000)
    elif damage == "header":
        content[:64] = b"\xff" * 64
    else:
        content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with closing(Journal.open(path)) as second:
        assert second.recovered is not None
        assert second.recovered.exists()
        assert second.device_id == first.device_id
        assert second.stream != first.stream
        second.record(turn(1), state_json=None)
        kinds = [r.kind for r in second.outbox.pending(limit_bytes=10**6, limit_records=9)]
        assert kinds == ["audit", "turn", "metric"]


def test_a_damaged_journal_in_use_elsewhere_is_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with closing(Journal.open(path)) as first:
        first.prune()  # empties the write-ahead log, which would still hold sound pages
        path.write_bytes(b"rubbish" * 1000)
        with pytest.raises(StorageError, match="another process"):
            Journal.open(path)


def test_the_device_keeps_its_name(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path / "journal.db", device_id="till-1")) as opened:
        assert opened.device_id == "till-1"
    with closing(Journal.open(tmp_path / "journal.db")) as opened:
        assert opened.device_id == "till-1"
    with pytest.raises(ConfigError, match="till-1"):
        Journal.open(tmp_path / "journal.db", device_id="till-2")
    assert (tmp_path / "device.json").stat().st_mode & 0o077 == 0


def test_a_damaged_identity_is_replaced_and_reported(tmp_path: Path) -> None:
    Journal.open(tmp_path / "journal.db").close()
    (tmp_path / "device.json").write_text('{"device_id": 3')
    with closing(Journal.open(tmp_path / "journal.db")) as opened:
        (row,) = opened.outbox.pending(limit_bytes=10**6, limit_records=9)
        assert json.loads(row.payload)["event"] == "identity_recovered"


def test_a_closed_journal_says_so(journal: Journal) -> None:
    journal.close()
    journal.close()
    with pytest.raises(StorageError, match="closed"):
        journal.record(turn(1), state_json=None)
    with pytest.raises(StorageError, match="closed"):
        journal.session_state("s1")


def test_many_threads_record_at_once(journal: Journal) -> None:
    def work(base: int) -> None:
        for number in range(base, base + 20):
            journal.record(turn(number), state_json=str(number))

    threads = [threading.Thread(target=work, args=(base,)) for base in range(0, 160, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {found.turn_id for _, found in journal.turns_since()} == {f"t{n}" for n in range(160)}
    assert journal.outbox.counts().highest_seq == 320


def test_two_processes_share_one_journal(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path / "journal.db")) as one:
        one.record(turn(1), state_json=None)
        with closing(Journal.open(tmp_path / "journal.db")) as two:
            assert two.stream == one.stream
            two.outbox.acknowledge([1, 2])
        assert one.outbox.counts().pending == {}


WRITER = """
import sys
from pathlib import Path
from edge_runtime.journal import Journal, TurnRecord
journal = Journal.open(Path(sys.argv[1]))
start = len(journal.turns_since(limit=10**6))
for number in range(start, start + 10**6):
    journal.record(
        TurnRecord(f"t{number}", "s", "2026-01-01T00:00:00+00:00", "zh", "text", "你好"),
        state_json=str(number),
    )
    print(f"t{number}", flush=True)
"""


def test_a_killed_process_loses_no_turn_it_had_recorded(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    chance = random.Random(7)
    acknowledged: list[str] = []
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        wanted = chance.randrange(1, 40)
        for _ in range(wanted):
            acknowledged.append(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.read().split()
        process.wait()
    with closing(Journal.open(path)) as journal:
        assert journal.recovered is None
        kept = [found.turn_id for _, found in journal.turns_since(limit=10**6)]
        assert set(acknowledged) <= set(kept)
        assert len(kept) == len(set(kept))
        assert journal.outbox.counts().highest_seq == 2 * len(kept)
        assert journal.session_state("s") == kept[-1].removeprefix("t")


def test_a_record_set_aside_leaves_a_notice_and_keeps_its_content(journal: Journal) -> None:
    journal.record(turn(1), state_json=None)
    journal.outbox.quarantine(1, "torn")
    rows = journal.outbox.pending(limit_bytes=10**6, limit_records=9)
    assert [(row.seq, row.kind) for row in rows] == [(1, "dropped"), (2, "metric")]
    ((kept, reason),) = journal.outbox.quarantined()
    assert (kept.seq, kept.kind, reason) == (1, "turn", "torn")


def test_what_is_over_its_cap_is_given_up_oldest_first_counted_and_announced(
    journal: Journal,
) -> None:
    for number in range(20):
        journal.record(turn(number, decision="handover"), state_json=None)
    before = journal.outbox.counts()
    half = before.pending_bytes["metric"] // 2
    pruned = journal.prune(Retention(caps={"metric": half}), now=START)
    after = journal.outbox.counts()
    assert pruned.dropped == after.dropped == {"metric": after.pending["dropped"]}
    assert after.pending["metric"] == 20 - after.pending["dropped"] > 5
    assert after.pending["escalation"] == before.pending["escalation"]
    assert after.pending_bytes["metric"] <= half
    rows = journal.outbox.pending(limit_bytes=10**7, limit_records=99)
    assert sorted(row.seq for row in rows) == list(range(1, 61))


def test_old_turns_go_but_a_clock_that_jumped_cannot_empty_the_journal(journal: Journal) -> None:
    for number in range(30):
        journal.record(turn(number, session=f"s{number}"), state_json="x")
    rules = Retention(days=30, keep_turns=10)
    pruned = journal.prune(rules, now=START + timedelta(days=365 * 14))
    assert pruned.turns == 20
    assert [n for n, _ in journal.turns_since()] == list(range(21, 31))
    assert journal.session_state("s0") is None
    assert journal.session_state("s29") == "x"


def test_figures_follow_the_documented_definition(journal: Journal) -> None:
    journal.record(turn(0, session="met"), state_json=None)
    journal.record(turn(1, session="person", decision="handover"), state_json=None)
    journal.record(turn(2, session="gave up", decision="clarify"), state_json=None)
    journal.record(turn(3, session="unanswered", intent="out_of_scope"), state_json=None)
    journal.record(turn(55, session="still going"), state_json=None)
    stats = journal.stats(now=START + timedelta(minutes=60))
    assert (stats.turns, stats.sessions, stats.dialogues) == (5, 5, 4)
    assert stats.completion_rate == 0.25
    assert stats.escalation_rate == 0.25
    assert stats.median_ms == {"first_token": 22.0, "total": 90.0}
    assert journal.stats(since="2030").completion_rate is None


@given(st.lists(st.integers(0, 200), min_size=1, max_size=30))
def test_dialogues_share_out_every_turn_once(minutes: list[int]) -> None:
    steps = [
        Step("s", START + timedelta(minutes=m), "answer", "x", "done") for m in sorted(minutes)
    ]
    found: list[Dialogue] = list(dialogues(steps))
    assert sum(dialogue.turns for dialogue in found) == len(steps)
    for one, next_one in pairwise(found):
        assert next_one.started_at - one.ended_at >= timedelta(minutes=30)


@settings(max_examples=40, deadline=None)
@given(text=st.text(st.characters(codec=None), max_size=200), number=st.floats())
def test_any_text_and_number_can_be_kept(tmp_path_factory, text: str, number: float) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.db"
    with closing(Journal.open(path)) as journal:
        odd = turn(1, text=text, session=text or "s", confidence=number, timings_ms={"x": number})
        journal.record(odd, state_json=text)
        assert len(journal.last_turns(text or "s", 1)) == 1
        for row in journal.outbox.pending(limit_bytes=10**6, limit_records=9):
            json.loads(row.payload, parse_constant=pytest.fail)


def test_every_commit_is_synced(journal: Journal) -> None:
    connection: sqlite3.Connection = journal._db.conn
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
