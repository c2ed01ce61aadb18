"""A customer can be forgotten, provably, and can see what is kept."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path

import pytest
from journal_kit import turn

from edge_runtime.errors import ConfigError, InputError
from edge_runtime.journal import Journal, adopt_key

SECRET = "紫色雨伞"


def filled(journal: Journal) -> None:
    for number in range(12):
        who = "member-7" if number % 2 else "member-8"
        journal.record(
            turn(
                number, user=who, session=f"s-{who}", text=f"{SECRET if number % 2 else '退货'}",
                decision="handover" if number > 9 else "answer",
            ),
            state_json=json.dumps({"of": who}),
        )  # fmt: skip


def everything_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_an_erased_person_is_nowhere_in_the_data_folder(journal: Journal, tmp_path: Path) -> None:
    filled(journal)
    journal.outbox.quarantine(3, "torn")
    (tmp_path / "journal.db.damaged-1").write_text(SECRET)
    journal.persons.erase("member-7")
    disk = everything_on_disk(tmp_path)
    assert SECRET.encode() not in disk
    assert b"member-7" not in disk
    assert b"member-8" in disk
    assert journal.persons.turns("member-7") == []
    assert len(journal.persons.turns("member-8")) == 6
    assert journal.session_state("s-member-7") is None
    assert journal.session_state("s-member-8") is not None


def test_erasing_leaves_the_numbering_whole_and_an_audit_record(journal: Journal) -> None:
    filled(journal)
    before = journal.outbox.counts()
    done = journal.persons.erase("member-7")
    rows = journal.outbox.pending(limit_bytes=10**7, limit_records=1000)
    assert sorted(row.seq for row in rows) == list(range(1, before.highest_seq + 2))
    notices = [json.loads(row.payload) for row in rows if row.kind == "dropped"]
    assert {notice["reason"] for notice in notices} == {"erased"}
    assert len(notices) == 6 * 2 + 1
    (audit,) = [json.loads(row.payload) for row in rows if row.kind == "audit"]
    assert audit["detail"] == {"receipt": hashlib.sha256(done.receipt.encode()).hexdigest()}
    assert not any(mask in row.payload for row in rows for mask in done.pseudonyms)
    for notice in (row for row in rows if row.kind == "dropped"):
        assert journal.remade(notice.seq) is None


def test_the_receipt_says_what_went_and_waits_for_the_server(journal: Journal) -> None:
    filled(journal)
    done = journal.persons.erase("member-7")
    receipt = json.loads(done.receipt)
    assert (receipt["turns"], receipt["sessions"], receipt["records"]) == (6, 1, 13)
    assert receipt["device_id"] == journal.device_id
    assert "member-7" not in done.receipt
    assert journal.persons.erasures(unconfirmed=True) == [done]
    journal.persons.confirm(done.number, "the server's")
    assert journal.persons.erasures(unconfirmed=True) == []
    assert journal.persons.erasures()[0].confirmed == "the server's"


def test_a_person_who_is_not_here_can_be_erased_all_the_same(journal: Journal) -> None:
    done = journal.persons.erase("nobody")
    assert json.loads(done.receipt)["turns"] == 0
    for wrong in ("", "  ", "x" * 2000):
        with pytest.raises(InputError):
            journal.persons.erase(wrong)


def test_devices_with_one_shop_key_give_one_customer_one_pseudonym(tmp_path: Path) -> None:
    names, texts = set(), set()
    for device in ("till", "kiosk"):
        path = tmp_path / device / "journal.db"
        with closing(Journal.open(path)) as journal:
            journal.record(turn(1, user="member-7"), state_json=None)
            (before,) = journal.persons.pseudonyms("member-7")
        adopt_key(path.with_name("device.json"), b"k" * 32)
        with closing(Journal.open(path)) as journal:
            current, former = journal.persons.pseudonyms("member-7")
            assert former == before
            names.add(current)
            journal.record(turn(2, user="member-7"), state_json=None)
            rows = journal.outbox.pending(limit_bytes=10**6, limit_records=9, kinds={"turn"})
            texts.add(json.loads(rows[-1].payload)["text"])
            journal.persons.erase("member-7")
            left = journal.outbox.pending(limit_bytes=10**6, limit_records=9)
            assert {row.kind for row in left} == {"dropped", "audit"}
    assert len(names) == len(texts) == 1


def test_a_wrong_shop_key_is_refused(tmp_path: Path) -> None:
    Journal.open(tmp_path / "journal.db").close()
    kept = (tmp_path / "device.json").read_bytes()
    with pytest.raises(ConfigError, match="64"):
        adopt_key(tmp_path / "device.json", b"short")
    with pytest.raises(ConfigError, match="no identity"):
        adopt_key(tmp_path / "absent.json", b"k" * 32)
    assert (tmp_path / "device.json").read_bytes() == kept
    once = adopt_key(tmp_path / "device.json", b"k" * 32)
    assert adopt_key(tmp_path / "device.json", b"k" * 32) == once


def test_a_person_is_erased_by_a_phone_they_gave_in_any_spelling(journal: Journal) -> None:
    said = [
        ("我叫张伟，紫色雨伞丢了", 0, "till"),
        ("电话是一三八，零零一三，八零零零", 1, "till"),
        ("谢谢", 2, "till"),
        ("another customer, hours later", 300, "till"),
        ("call 138-0013-8000 instead", 0, "kiosk"),
        ("call 139-0013-8000 instead", 0, "phone"),
    ]
    for number, (text, minutes, session) in enumerate(said):
        started = f"2026-03-01T{8 + minutes // 60:02}:{minutes % 60:02}:00+00:00"
        journal.record(
            turn(number, user="", text=text, session=session, started_at=started), state_json=None
        )
    done = journal.persons.erase_contact("+86 138 0013 8000")
    receipt = json.loads(done.receipt)
    assert receipt["turns"] == 4
    assert all(mask.startswith("[PHONE:") for mask in done.pseudonyms)
    left = [kept.text for _, kept in journal.turns_since()]
    assert left == [said[3][0], said[5][0]]
    rows = journal.outbox.pending(limit_bytes=10**7, limit_records=100)
    assert not any(mask in row.payload for row in rows for mask in done.pseudonyms)


def test_a_contact_erases_nothing_another_person_said(journal: Journal) -> None:
    for number, user in enumerate(("member-7", "member-8", "")):
        text = "ann.lee@example.org" if user == "member-7" else "退货"
        journal.record(turn(number, user=user, text=text, session="till"), state_json=None)
    journal.persons.erase_contact("Ann.Lee@example.org")
    assert [kept.user for _, kept in journal.turns_since()] == ["member-8"]


@pytest.mark.parametrize(
    "wrong", ["", "Ann Lee", "12 Oak Street", "13800138000 13900139000", "x" * 300]
)
def test_what_is_nobodys_alone_is_no_contact(journal: Journal, wrong: str) -> None:
    with pytest.raises(InputError, match="no phone"):
        journal.persons.erase_contact(wrong)
    assert journal.persons.erasures() == []
