"""The outbox: bounded at every turn, dropped in order, and made again from the turns."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_kit import turn
from sqlite_utils import Database

from edge_runtime.journal import Journal, Retention
from edge_runtime.journal.migrations import journal_migrations

KINDS = ("escalation", "audit", "turn", "metric")


def counted(journal: Journal) -> dict[str, tuple[int, int]]:
    rows = journal._db.conn.execute("SELECT kind, COUNT(*), SUM(size) FROM outbox GROUP BY kind")
    return {kind: (records, size) for kind, records, size in rows}


def test_the_caps_hold_after_every_turn_without_any_housekeeping(tmp_path: Path) -> None:
    rules = Retention(caps={"metric": 2_000, "turn": 6_000})
    with closing(Journal.open(tmp_path / "journal.db", retention=rules)) as journal:
        for number in range(60):
            journal.record(turn(number), state_json=None)
            counts = journal.outbox.counts()
            assert counts.pending_bytes["metric"] <= 2_000
            assert counts.pending_bytes["turn"] <= 6_000
        assert sum(counts.dropped.values()) == counts.pending["dropped"] > 60
        waiting = journal.outbox.pending(limit_bytes=10**9, limit_records=10**4)
        assert sorted(row.seq for row in waiting) == list(range(1, 121))
        newest = [row.seq for row in waiting if row.kind == "turn"]
        assert newest == list(range(newest[0], 121, 2))


def test_short_of_room_figures_go_first_and_requests_for_a_person_last(journal: Journal) -> None:
    for number in range(40):
        journal.record(turn(number, decision="handover"), state_json=None)
        journal.audit("something", {"number": number})
    began: list[str] = []
    for total in range(60_000, 6_000, -2_000):
        journal.prune(Retention(total=total))
        counts = journal.outbox.counts()
        assert sum(counts.pending_bytes.values()) <= total
        began += [kind for kind in counts.dropped if kind not in began]
        for earlier, later in pairwise(reversed(KINDS)):
            if counts.dropped.get(later):
                assert earlier not in counts.pending
    assert began == ["metric", "turn", "audit", "escalation"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(0, 40)),
        st.tuples(st.just("acknowledge"), st.integers(1, 90)),
        st.tuples(st.just("quarantine"), st.integers(1, 90)),
        st.tuples(st.just("prune"), st.integers(0, 4_000)),
    ),
    max_size=25,
)


@settings(max_examples=30)
@given(steps=STEPS)
def test_the_kept_totals_are_what_counting_finds(tmp_path_factory, steps) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.db"
    with closing(Journal.open(path)) as journal:
        journal._db.conn.execute("PRAGMA synchronous = OFF")
        for what, number in steps:
            if what == "record":
                decision = "handover" if number % 3 == 0 else "answer"
                journal.record(turn(number, decision=decision), state_json=None)
            elif what == "acknowledge":
                journal.outbox.acknowledge([number])
            elif what == "quarantine":
                journal.outbox.quarantine(number, "x", known_to_server=number % 2 == 0)
            else:
                journal.prune(Retention(caps={"metric": number, "turn": number}))
        counts = journal.outbox.counts()
        found = {kind: (n, counts.pending_bytes[kind]) for kind, n in counts.pending.items()}
        assert found == counted(journal)


def test_a_record_can_be_made_again_from_its_turn(journal: Journal) -> None:
    for number in range(9):
        decision = "handover" if number % 4 == 3 else "answer"
        journal.record(turn(number, decision=decision, session=f"s{number % 2}"), state_json=None)
        journal.audit("something", {"number": number})
    waiting = journal.outbox.pending(limit_bytes=10**7, limit_records=100)
    for row in waiting:
        expected = None if row.kind == "audit" else (row.kind, row.payload)
        assert journal.remade(row.seq) == expected
    assert journal.remade(10**6) is None


def test_what_was_set_aside_is_kept_for_its_time_only(journal: Journal) -> None:
    from datetime import UTC, datetime, timedelta

    journal.record(turn(1), state_json=None)
    journal.outbox.quarantine(1, "torn")
    journal.prune(Retention(quarantine_days=90), now=datetime.now(UTC) + timedelta(days=89))
    assert len(journal.outbox.quarantined()) == 1
    journal.prune(Retention(quarantine_days=90), now=datetime.now(UTC) + timedelta(days=91))
    assert journal.outbox.quarantined() == []


def test_a_journal_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    old = Database(sqlite3.connect(tmp_path / "journal.db"))
    journal_migrations.apply(old, stop_before="0002_totals_and_persons")
    old.execute("INSERT INTO outbox VALUES (1, 'turn', 3, 'x', 17, '{\"turn_id\": \"a\"}')")
    old.conn.commit()
    old.close()
    with closing(Journal.open(tmp_path / "journal.db")) as journal:
        journal.record(turn(1), state_json=None)
        assert journal.outbox.counts().pending == {"turn": 2, "metric": 1}
        assert journal.remade(1) is None
        assert journal.remade(3) is not None


@pytest.mark.parametrize("other", ["customer-b", ""])
def test_another_customer_of_the_same_till_is_in_nobodys_history(
    journal: Journal, other: str
) -> None:
    journal.record(turn(1, user=other, text="earlier words"), state_json=None)
    journal.record(turn(2, user="customer-a", decision="handover"), state_json=None)
    (escalation,) = journal.outbox.pending(limit_bytes=10**6, limit_records=9, kinds={"escalation"})
    assert ("earlier words" in escalation.payload) == (other == "")
