"""When the server was last heard of, as other processes read it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from sync_kit import Central, turn

from edge_runtime.journal import Journal
from sync.contact import FILE, Contact, ContactLog, read_contact
from sync.errors import SyncError
from sync.protocol.fleet import Poll, PollAnswer
from sync.uplink import Uplink


def test_a_delivery_and_a_poll_are_noted_and_a_failure_is_not(
    central: Central, journal: Journal, client: httpx.Client, tmp_path: Path
) -> None:
    now = 1000.0
    uplink = Uplink(journal, client, contact=ContactLog(tmp_path, lambda: now))
    central.faults.queue += ["500"]
    journal.record(turn(0), state_json=None)
    with pytest.raises(SyncError):
        uplink.push()
    assert read_contact(tmp_path) == Contact()
    uplink.push()
    assert read_contact(tmp_path) == Contact(heard=1000, delivered=1000)
    now = 1100.0
    uplink.push()  # nothing waits, so nobody is asked
    assert read_contact(tmp_path) == Contact(heard=1000, delivered=1000)
    uplink.exchange.ask("/v1/poll", Poll(protocol=1), PollAnswer)
    assert read_contact(tmp_path) == Contact(heard=1100, delivered=1000)


def test_contacts_in_quick_succession_are_written_once(tmp_path: Path) -> None:
    times = iter([1000.0, 1010.0, 1029.0, 1030.0, 5.0])  # in the end the clock was set back
    log = ContactLog(tmp_path, lambda: next(times))
    seen = []
    for _ in range(5):
        log.heard()
        seen.append(read_contact(tmp_path).heard)
    assert seen == [1000, 1000, 1000, 1030, 5]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 2000, b'{"schema":1,"heard":-1,"delivered":0}']
)
def test_a_damaged_note_reads_as_never_and_is_written_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert read_contact(tmp_path) == Contact()
    ContactLog(tmp_path, lambda: 7.0).delivered()
    assert read_contact(tmp_path) == Contact(delivered=7)


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = ContactLog(tmp_path / "file" / "folder", lambda: 7.0)
    log.heard()
    assert read_contact(tmp_path / "file" / "folder") == Contact()
