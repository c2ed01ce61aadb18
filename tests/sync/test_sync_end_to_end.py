"""From the device's journal to the server's tables: nothing lost, nothing twice."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path
from threading import Event

import httpx
import pytest
from sqlalchemy import func, select
from sync_kit import NOW, Central, served, turn

from edge_runtime.journal import Journal, open_journal
from sync.agent import Agent, Cycle
from sync.central.database import Database
from sync.central.export import labelled
from sync.central.tables import Handoff, StoredRecord, TurnMetric
from sync.errors import CredentialError, SyncError
from sync.link import enroll, load_link, open_client
from sync.protocol.records import Batch, Record
from sync.protocol.wire import encode_batch
from sync.uplink import Uplink


def outgoing(journal: Journal) -> dict[int, tuple[str, dict[str, object]]]:
    rows = journal.outbox.pending(limit_bytes=10**9, limit_records=10**6)
    return {row.seq: (row.kind, json.loads(row.payload)) for row in rows}


def arrived(database: Database) -> dict[int, tuple[str, dict[str, object]]]:
    with database.read() as session:
        rows = session.execute(select(StoredRecord.seq, StoredRecord.kind, StoredRecord.payload))
        return {seq: (kind, json.loads(payload)) for seq, kind, payload in rows}


def filled(journal: Journal, count: int = 30) -> dict[int, tuple[str, dict[str, object]]]:
    for number in range(count):
        decision = "handover" if number % 10 == 9 else "answer"
        journal.record(turn(number, decision=decision), state_json=None)
    return outgoing(journal)


def test_everything_arrives_and_the_outbox_is_empty(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    expected = filled(journal)
    report = Uplink(journal, client, batch_records=7).push()
    assert arrived(central.database) == expected
    assert outgoing(journal) == {}
    assert (report.sent, report.remaining, report.contiguous) == (len(expected), 0, len(expected))
    assert report.batches == 9


def test_escalations_go_first(journal: Journal, central: Central, client: httpx.Client) -> None:
    filled(journal)
    Uplink(journal, client, batch_records=3).push(max_batches=1)
    assert {kind for kind, _ in arrived(central.database).values()} == {"escalation"}


FAULTS = [
    "500", "503", "cut", "html", "400 by a proxy",
    "500, after commit", "cut, after commit", "html, after commit",
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_loses_nothing_and_doubles_nothing(
    journal: Journal, central: Central, client: httpx.Client, fault: str
) -> None:
    expected = filled(journal)
    uplink = Uplink(journal, client, batch_records=20)
    uplink.push(max_batches=1)
    central.faults.queue.append(fault)
    with pytest.raises(SyncError) as raised:
        uplink.push()
    assert not isinstance(raised.value, CredentialError)
    assert raised.value.retry_after_s == (77 if fault == "503" else None)
    assert journal.outbox.counts().quarantined == 0
    uplink.push()
    assert arrived(central.database) == expected
    assert outgoing(journal) == {}
    with central.database.read() as session:
        assert session.scalar(select(func.count()).select_from(TurnMetric)) == 30
        assert session.scalar(select(func.count()).select_from(Handoff)) == 3


def test_a_restarted_server_goes_on_where_it_was(journal: Journal, tmp_path: Path) -> None:
    expected = filled(journal)
    address = f"sqlite:///{tmp_path / 'c.db'}"
    with served(address) as first:
        link = enroll(first.url, first.code(), journal.device_id, tmp_path / "device")
        with open_client(link) as client:
            Uplink(journal, client, batch_records=11).push(max_batches=2)
    with open_client(link) as client:
        with pytest.raises(SyncError):
            Uplink(journal, client).push()
        with served(address, port=int(link.url.rsplit(":", 1)[1])) as second:
            report = Uplink(journal, client, batch_records=11).push()
            assert arrived(second.database) == expected
    assert report.contiguous == len(expected)


def test_random_faults_converge_to_equality(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    expected = filled(journal, 60)
    chance = random.Random(5)
    uplink = Uplink(journal, client, batch_records=9)
    failures = 0
    for _ in range(200):
        if chance.random() < 0.6:
            central.faults.queue.append(chance.choice(FAULTS))
        try:
            uplink.push(max_batches=1)
        except SyncError:
            failures += 1
        if not outgoing(journal):
            break
    assert failures > 5
    assert arrived(central.database) == expected


def test_records_may_arrive_in_any_order_and_twice(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    expected = filled(journal, 10)
    rows = list(expected.items())
    random.Random(3).shuffle(rows)
    contiguous = []
    for seq, (kind, payload) in [*rows, *rows[:5]]:
        answer = send(
            client, journal, [Record(seq=seq, kind=kind, created_at="x", payload=payload)]
        )
        assert answer["stored"] == [seq]
        contiguous.append(answer["contiguous"])
    assert contiguous == sorted(contiguous)
    assert contiguous[len(rows) - 1] == len(rows)
    assert arrived(central.database) == expected


def send(client: httpx.Client, journal: Journal, records: list[Record]) -> dict[str, object]:
    batch = Batch(
        protocol=1, device_id=journal.device_id, stream=journal.stream,
        sent_at=NOW.isoformat(), records=records,
    )  # fmt: skip
    answer = client.post("/v1/ingest", content=encode_batch(batch))
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_another_record_with_a_known_number_is_refused(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    (seq, (kind, payload)), *_ = filled(journal, 1).items()
    send(client, journal, [Record(seq=seq, kind=kind, created_at="x", payload=payload)])
    changed = Record(seq=seq, kind=kind, created_at="x", payload={**payload, "text": "other"})
    answer = send(client, journal, [changed])
    assert [item["seq"] for item in answer["quarantined"]] == [seq]  # type: ignore[index, union-attr]
    assert arrived(central.database)[seq][1] == payload


def test_torn_and_poisoned_records_do_not_block_the_rest(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    expected = filled(journal, 10)
    connection = journal._db.conn
    connection.execute("UPDATE outbox SET payload = substr(payload, 1, 40) WHERE seq = 3")
    connection.execute("""UPDATE outbox SET payload = '{"turn_id": 7}' WHERE seq = 5""")
    connection.execute("UPDATE outbox SET kind = 'no such KIND!' WHERE seq = 7")
    connection.commit()
    report = Uplink(journal, client, batch_records=4).push()
    assert (report.remaining, report.quarantined, report.contiguous) == (0, 3, len(expected))
    aside = {record.seq: reason for record, reason in journal.outbox.quarantined()}
    assert set(aside) == {3, 5, 7}
    found = arrived(central.database)
    assert {seq for seq in expected if found[seq] != expected[seq]} == {3, 5, 7}
    assert found[5][0] == "quarantined"
    assert found[3] == ("dropped", {"kind": expected[3][0], "reason": "quarantined"})


def test_a_batch_the_server_finds_malformed_is_halved_down_to_the_culprit(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    expected = filled(journal, 8)
    poisoned = b'"seq":6,'

    class Picky(httpx.BaseTransport):
        def __init__(self) -> None:
            self.inner = httpx.HTTPTransport()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            from sync.protocol.wire import decompress

            if poisoned in decompress(request.read(), 10**7):
                return httpx.Response(422, json={"protocol": 1, "error": "malformed"})
            return self.inner.handle_request(request)

    picky = httpx.Client(base_url=client.base_url, headers=client.headers, transport=Picky())
    with picky:
        report = Uplink(journal, picky).push(max_batches=1)
    assert report.quarantined == 1
    Uplink(journal, client).push()
    found = arrived(central.database)
    assert found.keys() == expected.keys()
    assert found[6][0] == "dropped"


def test_a_server_that_finds_everything_malformed_costs_no_record(journal: Journal) -> None:
    expected = filled(journal, 4)
    refusal = httpx.Response(422, json={"protocol": 1, "error": "malformed"})
    transport = httpx.MockTransport(lambda _: refusal)
    client = httpx.Client(base_url="http://x", transport=transport)
    with client, pytest.raises(SyncError, match="refuses"):
        Uplink(journal, client).push()
    assert outgoing(journal) == expected
    assert journal.outbox.counts().quarantined == 0


def test_what_the_device_gave_up_closes_its_gap(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    from edge_runtime.journal import Retention

    expected = filled(journal, 20)
    journal.prune(Retention(caps={"metric": 2000}), now=NOW)
    report = Uplink(journal, client).push()
    found = arrived(central.database)
    assert report.contiguous == len(expected)
    assert found.keys() == expected.keys()
    gone = [payload for kind, payload in found.values() if kind == "dropped"]
    assert len(gone) == journal.outbox.counts().dropped["metric"] > 0
    assert {item["kind"] for item in gone} == {"metric"}


def test_a_revoked_device_is_told_and_keeps_its_records(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    expected = filled(journal, 3)
    assert central.ask("DELETE", f"/v1/devices/{journal.device_id}/credential").status_code == 204
    with pytest.raises(CredentialError):
        Uplink(journal, client).push()
    assert outgoing(journal) == expected


def test_a_recovered_journal_starts_a_new_stream_on_the_same_device(
    journal: Journal, central: Central, client: httpx.Client, tmp_path: Path
) -> None:
    filled(journal, 5)
    Uplink(journal, client).push()
    journal.close()
    (tmp_path / "device" / "journal.db").write_bytes(b"rubbish" * 1000)
    with closing(Journal.open(tmp_path / "device" / "journal.db")) as second:
        second.record(turn(1), state_json=None)
        report = Uplink(second, client).push()
    assert report.remaining == 0
    with central.database.read() as session:
        streams = session.execute(
            select(StoredRecord.stream, func.count()).group_by(StoredRecord.stream)
        ).all()
    assert sorted(count for _, count in streams) == [3, 10]


@pytest.mark.parametrize(
    "answer",
    [
        {"protocol": 1, "stream": "another", "contiguous": 10**6, "stored": []},
        {"protocol": 1, "stream": None, "contiguous": 0, "stored": []},
        {"protocol": 2},
        [],
    ],
)
def test_a_server_that_talks_nonsense_deletes_nothing(journal: Journal, answer: object) -> None:
    expected = filled(journal, 3)
    if isinstance(answer, dict) and "stream" in answer and answer["stream"] is None:
        answer = {**answer, "stream": journal.stream}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    client = httpx.Client(base_url="http://x", transport=transport)
    with client, pytest.raises(SyncError):
        Uplink(journal, client).push()
    assert outgoing(journal) == expected


def test_an_acknowledgement_reaches_no_record_that_was_not_sent(journal: Journal) -> None:
    filled(journal, 4)
    answer = {
        "protocol": 1,
        "stream": journal.stream,
        "contiguous": 10**9,
        "stored": [1, 2, 3, 9**9],
    }
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    with httpx.Client(base_url="http://x", transport=transport) as client:
        Uplink(journal, client, batch_records=1).push(max_batches=1)
    assert len(outgoing(journal)) == 7


def test_an_endless_answer_is_cut_off(journal: Journal) -> None:
    filled(journal, 1)

    def endless(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=(b"x" * 100_000 for _ in range(10**6)))

    with httpx.Client(base_url="http://x", transport=httpx.MockTransport(endless)) as client:
        with pytest.raises(SyncError, match="too large"):
            Uplink(journal, client).push()
        with pytest.raises(SyncError, match="too slowly"):
            Uplink(journal, client, answer_s=-1).push()


def test_what_arrived_can_be_exported_as_labelled_text(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    journal.record(turn(0, text="我叫张伟，衣服能退吗"), state_json=None)
    journal.record(turn(1, outcome="cancelled"), state_json=None)
    Uplink(journal, client).push()
    with central.database.read() as session:
        (line,) = labelled(session, since=NOW)
    assert line["text"].startswith("我叫[NAME:")
    assert (line["intent"], line["sentiment"]) == ("return", "neutral")
    assert line["entities"] == {"product": "coat"}
    assert line["label_source"] == "model"


def test_the_agent_backs_off_while_it_fails_and_stops_when_told(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    expected = filled(journal, 30)
    cycles: list[Cycle] = []
    central.faults.queue += ["503", "500", "cut"]

    class Impatient(Event):
        """Stops after five rounds; never really waits."""

        def wait(self, timeout: float | None = None) -> bool:
            if len(cycles) == 5:
                self.set()
            return self.is_set()

    agent = Agent(
        journal, Uplink(journal, client, batch_records=8), every_s=60, stop=Impatient(),
        random=random.Random(1), on_cycle=cycles.append,
    )  # fmt: skip
    agent.run()
    assert [cycle.error is None for cycle in cycles] == [False, False, False, True, True]
    assert cycles[0].wait_s >= 77
    assert cycles[3].wait_s == 60
    assert cycles[3].report is not None
    assert cycles[3].report.sent == len(expected)
    assert arrived(central.database) == expected


def test_no_order_number_reaches_a_server_whose_shop_masks_them(
    central: Central, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_PRIVACY_MASK_ORDER_NUMBERS", "true")
    order = "R20251103004"
    entity = {"type": "order_id", "value": order, "text": order}
    with closing(open_journal(tmp_path / "till")) as journal:
        journal.record(
            turn(1, text=f"订单{order}呢", entities=(entity,), sources=(f"order:{order}",)),
            state_json=None,
        )
        journal.record(
            turn(2, session="s0", text="找人工", reply=order, decision="handover"), state_json=None
        )
        enroll(central.url, central.code(), journal.device_id, tmp_path / "till")
        link = load_link(tmp_path / "till")
        assert link is not None
        with open_client(link) as client:
            assert Uplink(journal, client).push().sent == 5
    stored = json.dumps([payload for _, payload in arrived(central.database).values()])
    assert order not in stored
    assert "[ORDER:" in stored
