"""A customer is forgotten on both sides, provably; sees what is kept; and time limits hold."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from sync_kit import NOW, Central, turn
from typer.testing import CliRunner

from edge_runtime.journal import Journal
from sync.central import ledger, persons
from sync.central.cli import app as central_app
from sync.central.export import labelled
from sync.central.retention import Periods, retain
from sync.central.tables import Base, Handoff, StoredRecord, TurnMetric
from sync.cli import app
from sync.errors import SyncError
from sync.link import enroll, open_client
from sync.persons import held_centrally, send_erasures
from sync.protocol.records import Record
from sync.uplink import Uplink

RUN = CliRunner()
BOTH_DATABASES = True


def filled(journal: Journal) -> None:
    for number in range(12):
        user = "member-7" if number % 2 else "member-8"
        decision = "handover" if number > 9 else "answer"
        text = "紫色雨伞" if number % 2 else "退货"
        journal.record(
            turn(number, user=user, text=text, session=f"s-{user}", decision=decision),
            state_json=None,
        )


@pytest.fixture
def uplink(journal: Journal, client: httpx.Client) -> Uplink:
    filled(journal)
    made = Uplink(journal, client)
    made.push()
    return made


def everything(central: Central) -> str:
    """Every row of every table, a line each."""
    with central.database.read() as session:
        return "\n".join(
            f"{table.name} {' '.join(map(str, row))}"
            for table in Base.metadata.sorted_tables
            for row in session.execute(select(table))
        )


def test_an_erased_person_is_nowhere_in_the_servers_tables(
    journal: Journal, central: Central, uplink: Uplink
) -> None:
    masks = journal.persons.pseudonyms("member-7")
    other = journal.persons.pseudonyms("member-8")
    journal.persons.erase("member-7")
    assert send_erasures(journal, uplink.exchange) == 1
    uplink.push()
    dump = everything(central).replace(json.dumps(list(masks)), "")
    assert "紫色雨伞" not in dump.encode().decode("unicode_escape", "replace")
    records = [line for line in dump.splitlines() if line.startswith("records ")]
    assert not any(masks[0] in line for line in records)
    assert any(other[0] in line for line in records)
    with central.database.read() as session:
        lines = list(labelled(session, since=NOW))
        assert {line["text"] for line in lines} == {"退货"}
        assert len(session.scalars(select(Handoff)).all()) == 1
        figures = session.scalars(select(TurnMetric)).all()
    assert len(figures) == 12
    assert len({row.session for row in figures}) == 2
    assert sum(row.session.startswith("[ERASED:") for row in figures) == 6
    assert uplink.send([]).contiguous == journal.outbox.highest()


def test_receipts_form_a_chain_that_shows_what_was_altered(
    journal: Journal, central: Central, uplink: Uplink
) -> None:
    for user in ("member-7", "member-8", "nobody"):
        journal.persons.erase(user)
    send_erasures(journal, uplink.exchange)
    confirmed = [json.loads(done.confirmed) for done in journal.persons.erasures()]
    counts = [json.loads(one["receipt"])["records"] for one in confirmed]
    assert counts == [13, 13, 0]
    with central.database.read() as session:
        entries = ledger.entries(session)
    assert [entry["digest"] for entry in entries] == [one["digest"] for one in confirmed]
    assert ledger.is_unbroken(entries)
    assert not ledger.is_unbroken(entries[1:])
    altered = entries[0]["receipt"].replace('"records": 13', '"records": 12')
    assert not ledger.is_unbroken([entries[0] | {"receipt": altered}, *entries[1:]])


def test_asking_again_gives_the_same_receipt(
    journal: Journal, central: Central, uplink: Uplink
) -> None:
    journal.persons.erase("member-7")
    central.faults.queue.append("cut, after commit")
    with pytest.raises(SyncError):
        send_erasures(journal, uplink.exchange)
    assert send_erasures(journal, uplink.exchange) == 1
    with central.database.read() as session:
        assert len(ledger.entries(session)) == 1


def test_a_device_reaches_its_own_records_and_operators_every_devices(
    journal: Journal, central: Central, uplink: Uplink, tmp_path: Path
) -> None:
    masks = list(journal.persons.pseudonyms("member-7"))
    request = {"protocol": 1, "pseudonyms": masks, "receipt": "r"}
    with closing(Journal.open(tmp_path / "other" / "journal.db")) as other:
        link = enroll(central.url, central.code(), other.device_id, tmp_path / "other")
    with open_client(link) as stranger:
        answer = stranger.post("/v1/persons/erase", json=request)
        assert json.loads(answer.json()["receipt"])["records"] == 0
        page = stranger.post("/v1/persons/export", json={"protocol": 1, "pseudonyms": masks})
        assert page.json()["records"] == []
        for path in ("erase", "export"):
            refused = stranger.post(f"/v1/fleet/persons/{path}", json=request)
            assert refused.status_code in {401, 403}
        assert stranger.get("/v1/fleet/erasures").status_code in {401, 403}
    assert len(held_centrally(journal, uplink.exchange, "member-7")) == 7
    answer = central.ask("POST", "/v1/fleet/persons/erase", json=request)
    assert json.loads(answer.json()["receipt"])["records"] == 13
    listed = central.ask("GET", "/v1/fleet/erasures?after=1").json()["erasures"]
    assert [one["digest"] for one in listed] == [answer.json()["digest"]]


@pytest.mark.parametrize("wrong", ["member-7", "%", "[USER:%]", "[PHONE:0123456789abcdef]", ""])
def test_only_a_persons_pseudonym_names_whom_to_erase(central: Central, wrong: str) -> None:
    request = {"protocol": 1, "pseudonyms": [wrong], "receipt": "r"}
    assert central.ask("POST", "/v1/fleet/persons/erase", json=request).status_code == 422


def test_a_persons_records_come_in_pages(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    for number in range(persons.PAGE + 7):
        journal.record(turn(number, user="member-7"), state_json=None)
    uplink = Uplink(journal, client)
    uplink.push()
    found = held_centrally(journal, uplink.exchange, "member-7")
    assert len({record["payload"]["turn_id"] for record in found}) == persons.PAGE + 7
    assert held_centrally(journal, uplink.exchange, "nobody") == []


def test_a_restored_backup_forgets_again(
    journal: Journal, central: Central, uplink: Uplink
) -> None:
    with central.database.read() as session:
        backup = [
            {name: getattr(row, name) for name in ("seq", "kind", "payload", "digest")}
            for row in session.scalars(select(StoredRecord).where(StoredRecord.kind == "turn"))
        ]
    journal.persons.erase("member-7")
    send_erasures(journal, uplink.exchange)
    with central.database.write() as session:
        for kept in backup:
            row = session.scalars(select(StoredRecord).where(StoredRecord.seq == kept["seq"])).one()
            row.kind, row.payload, row.digest = kept["kind"], kept["payload"], kept["digest"]
    assert len(held_centrally(journal, uplink.exchange, "member-7")) == 6
    with central.database.write() as session:
        assert persons.restore_ledger(session, ledger.entries(session), NOW) == 6
    assert held_centrally(journal, uplink.exchange, "member-7") == []


def test_records_go_when_their_kinds_period_is_over(
    journal: Journal, central: Central, uplink: Uplink
) -> None:
    periods = Periods(turn=30, escalation=60, metric=90, audit=90)
    later = {}
    for days in (29, 31, 61, 91):
        with central.database.write() as session:
            later[days] = retain(session, periods, NOW + timedelta(days=days))
    assert later == {29: {}, 31: {"turn": 12}, 61: {"escalation": 2}, 91: {"metric": 12}}
    with central.database.read() as session:
        assert list(labelled(session, since=NOW)) == []
        assert session.scalars(select(Handoff)).all() == []
        assert session.scalars(select(TurnMetric)).all() == []
    assert uplink.send([]).contiguous == journal.outbox.highest()


def test_the_commands_of_both_sides(
    central: Central, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_CENTRAL_DATABASE_URL", address)
    folder = tmp_path / "till"
    place = ["--data-dir", str(folder), "--json"]
    with closing(Journal.open(folder / "journal.db")) as journal:
        filled(journal)
        (mask,) = journal.persons.pseudonyms("member-7")

    def call(*words: str) -> dict[str, object]:
        result = RUN.invoke(app, [*words, *place])
        assert result.exit_code == 0, result.output
        found: dict[str, object] = json.loads(result.stdout)
        return found

    erased_early = call("erase", "--user", "member-8")
    assert (erased_early["turns"], erased_early["central"]) == (6, None)
    call("enroll", central.url, "--code", central.code())
    assert call("status")["unconfirmed_erasures"] == 1
    assert call("push")["remaining"] == 0
    assert call("status")["unconfirmed_erasures"] == 0
    found = call("export", "--user", "member-7")
    assert (len(found["device"]), len(found["central"])) == (6, 7)  # type: ignore[arg-type]
    assert found["pseudonyms"] == [mask]
    assert call("export", "--user", "member-7", "--out", str(tmp_path / "x"))["turns"] == 6
    assert call("verify")["sound"] is True
    assert call("erase", "--user", "member-7")["central"] is not None
    assert call("repair") == {"recounted": False, "remade": 0, "lost": 0}
    key = tmp_path / "key"
    key.write_text(str(call("shop-key")["key"]))
    assert call("shop-key", "--use", str(key)) == {"adopted": True}

    at = ["--data-dir", str(tmp_path / "central"), "--json"]
    receipts = tmp_path / "receipts"
    for words, expected in (
        (["erasures", "--out", str(receipts)], {"erasures": 2, "unbroken": True}),
        (["forget", str(receipts)], {"erasures": 2, "records": 0}),
        (["erase", "--pseudonym", mask], {"records": 0}),
        (["retain"], {"gone": {}}),
    ):
        result = RUN.invoke(central_app, [*words, *at])
        assert result.exit_code == 0, result.output
        assert expected.items() <= json.loads(result.stdout).items()
    receipts.write_text(receipts.read_text().replace("every", "no"))
    for words in (["forget", str(receipts)], ["erase", "--pseudonym", "member-7"]):
        assert RUN.invoke(central_app, [*words, *at]).exit_code in {0, 2}


def test_what_a_device_held_back_is_erased_as_it_arrives(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    filled(journal)
    masks = list(journal.persons.pseudonyms("member-7"))
    request = {"protocol": 1, "pseudonyms": masks, "receipt": "r"}
    assert central.ask("POST", "/v1/fleet/persons/erase", json=request).status_code == 200
    journal.record(turn(20, user="member-7", session="s-member-7"), state_json=None)
    waiting = journal.outbox.pending(limit_bytes=10**7, limit_records=1_000)
    early = (NOW - timedelta(hours=1)).isoformat()
    sent = [
        Record(
            seq=row.seq,
            kind=row.kind,
            created_at=row.created_at if '"t20"' in row.payload else early,
            payload=json.loads(row.payload),
        )
        for row in waiting
    ]
    uplink = Uplink(journal, client)
    first = uplink.send(sent)
    assert uplink.send(sent).quarantined == first.quarantined == []
    held = held_centrally(journal, uplink.exchange, "member-7")
    assert [record["payload"]["turn_id"] for record in held] == ["t20"]
    assert len(held_centrally(journal, uplink.exchange, "member-8")) == 7
    with central.database.read() as session:
        assert len(session.scalars(select(Handoff)).all()) == 1
        figures = session.scalars(select(TurnMetric)).all()
    assert sum(row.session.startswith("[ERASED:") for row in figures) == 6


def test_a_person_goes_on_both_sides_by_what_they_gave(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    for number, text in enumerate(("手机13800138000", "手机13900139000", "退货")):
        journal.record(turn(number, text=text, session=f"s{number}"), state_json=None)
    uplink = Uplink(journal, client)
    uplink.push()
    done = journal.persons.erase_contact("138-0013-8000")
    assert send_erasures(journal, uplink.exchange) == 1
    with central.database.read() as session:
        kept = [
            json.loads(row.payload)["text"]
            for row in session.scalars(select(StoredRecord).where(StoredRecord.kind == "turn"))
        ]
    assert len(kept) == 2
    assert not any(mask in text for mask in done.pseudonyms for text in kept)


def test_erase_takes_one_way_to_say_whom(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path), "--json"]
    for words in ([], ["--user", "x", "--contact", "13800138000"], ["--contact", "Ann Lee"]):
        assert RUN.invoke(app, ["erase", *words, *place]).exit_code == 2
    result = RUN.invoke(app, ["erase", "--contact", "13800138000", *place])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["turns"] == 0
