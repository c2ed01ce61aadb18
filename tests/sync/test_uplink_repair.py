"""``verify`` finds what is missing on either side, ``repair`` brings it back."""

from __future__ import annotations

import json

import httpx
from sqlalchemy import delete, select
from sync_kit import Central, turn

from edge_runtime.journal import Journal
from sync.central.tables import Handoff, StoredRecord, Stream, TurnMetric
from sync.repair import Repaired, repair, verify
from sync.uplink import Uplink

Rows = dict[int, tuple[str, object]]


def arrived(central: Central) -> Rows:
    with central.database.read() as session:
        rows = session.execute(select(StoredRecord.seq, StoredRecord.kind, StoredRecord.payload))
        return {seq: (kind, json.loads(payload)) for seq, kind, payload in rows}


def lose(central: Central, first: int) -> None:
    """What a server restored from a backup has lost: everything that arrived late."""
    with central.database.write() as session:
        for table in (StoredRecord, TurnMetric, Handoff):
            session.execute(delete(table).where(table.seq >= first))
        session.scalars(select(Stream)).one().contiguous = first - 1


def filled(journal: Journal, numbers: range) -> None:
    for number in numbers:
        decision = "handover" if number % 5 == 4 else "answer"
        journal.record(turn(number, decision=decision), state_json=None)


def test_what_a_restored_server_lost_is_sent_again(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    filled(journal, range(90))
    uplink = Uplink(journal, client)
    uplink.push()
    whole = arrived(central)
    assert verify(journal, uplink).sound
    lose(central, 41)
    filled(journal, range(90, 93))
    found = verify(journal, uplink)
    assert (found.sound, found.server_has, found.server_lost) == (False, 40, len(whole) - 40)
    assert repair(journal, uplink) == Repaired(False, len(whole) - 40, 0)
    assert arrived(central) == whole
    assert repair(journal, uplink) == Repaired(False, 0, 0)
    uplink.push()
    assert verify(journal, uplink).sound


def test_what_cannot_be_made_again_is_a_notice_and_the_rest_goes_on(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    filled(journal, range(3))
    journal.audit("something", {})
    filled(journal, range(3, 6))
    uplink = Uplink(journal, client)
    uplink.push()
    whole = arrived(central)
    lose(central, 1)
    done = repair(journal, uplink)
    assert (done.remade, done.lost) == (len(whole) - 1, 1)
    audit = next(seq for seq, (kind, _) in whole.items() if kind == "audit")
    notice = ("dropped", {"kind": "unknown", "reason": "lost"})
    assert arrived(central) == whole | {audit: notice}


def test_damage_on_the_device_is_told_and_mended(journal: Journal) -> None:
    filled(journal, range(4))
    assert verify(journal, None).sound
    connection = journal._db.conn
    connection.execute("UPDATE outbox_totals SET bytes = bytes + 7 WHERE kind = 'turn'")
    connection.execute("UPDATE outbox SET payload = substr(payload, 1, 9) WHERE seq = 3")
    connection.commit()
    found = verify(journal, None)
    assert found.problems == ("The outbox's totals are wrong.", "Record 3 cannot be read.")
    assert repair(journal, None).recounted
    assert verify(journal, None).problems == ("Record 3 cannot be read.",)


def test_an_altered_receipt_is_found(journal: Journal) -> None:
    done = journal.persons.erase("member-7")
    journal.persons.confirm(done.number, json.dumps({"receipt": "x", "digest": "0" * 64}))
    assert verify(journal, None).problems == ("The server's receipt of erasure 1 was altered.",)
