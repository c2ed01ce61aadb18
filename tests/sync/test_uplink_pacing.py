"""When, how fast and what a device may send."""

from __future__ import annotations

from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sync_kit import Central, turn

from edge_runtime.errors import ConfigError, StorageError
from edge_runtime.journal import Journal
from sync.exchange import Exchange
from sync.pacing import URGENT, Pace, load_sync_settings
from sync.protocol.base import ProtocolError
from sync.protocol.wire import compress, decompress
from sync.uplink import Uplink


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-01T{text}").astimezone()


@pytest.mark.parametrize(
    ("hours", "metered", "moment", "everything"),
    [
        ("", False, "12:00", True),
        ("", True, "12:00", False),
        ("22:00-06:00", False, "23:30", True),
        ("22:00-06:00", False, "05:59", True),
        ("22:00-06:00", False, "06:00", False),
        ("22:00-06:00", True, "02:00", True),
        ("1:00-2:00, 12:00-13:00", True, "12:30", True),
        ("1:00-2:00,12:00-13:00", True, "13:00", False),
    ],
)
def test_hours_and_a_metered_link_hold_back_all_but_what_somebody_waits_for(
    hours: str, metered: bool, moment: str, everything: bool
) -> None:
    pace = Pace.of(load_sync_settings(hours=hours, metered=metered))
    assert pace.kinds(at(moment)) == (None if everything else URGENT)


def test_outside_its_hours_a_device_sends_tickets_only(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    for number in range(6):
        decision = "handover" if number == 4 else "answer"
        journal.record(turn(number, decision=decision), state_json=None)
    journal.audit("something", {})
    pace = Pace.of(load_sync_settings(hours="22:00-06:00"))
    day = Uplink(journal, client, pace=pace, now=lambda: at("12:00")).push()
    assert (day.sent, day.remaining, day.held_back) == (2, 0, 12)
    night = Uplink(journal, client, pace=pace, now=lambda: at("23:00")).push()
    assert (night.sent, night.held_back, night.contiguous) == (12, 0, 14)


def test_hours_that_end_during_a_push_hold_back_the_next_batch(
    journal: Journal, central: Central, client: httpx.Client
) -> None:
    for number in range(6):
        journal.record(turn(number), state_json=None)
    clock = [at("05:59")]
    client.event_hooks = {"response": [lambda _: clock.append(at("06:01"))]}
    pace = Pace.of(load_sync_settings(hours="22:00-06:00"))
    pushed = Uplink(journal, client, batch_records=4, pace=pace, now=lambda: clock[-1]).push()
    assert (pushed.sent, pushed.remaining, pushed.held_back) == (4, 0, 8)


@pytest.mark.parametrize("wrong", ["25:00-26:00", "9-17", "22:00", "a"])
def test_hours_nobody_can_read_are_a_clear_error(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"22:00-06:00"):
        load_sync_settings(hours=wrong)


def test_settings_come_from_the_environment_and_from_the_table_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path)
    (tmp_path / "edge.toml").write_text("[sync]\nmetered = true\nbandwidth_kbit = 64\n")
    assert load_sync_settings().metered
    assert Pace.of(load_sync_settings()).bytes_per_s == 8_000
    monkeypatch.setenv("EDGE_SYNC_BANDWIDTH_KBIT", "128")
    assert load_sync_settings().bandwidth_kbit == 128
    (tmp_path / "edge.toml").write_text("[sync\n")
    with pytest.raises(ConfigError, match=r"edge\.toml"):
        load_sync_settings()


@given(rate=st.integers(300, 10**6), size=st.integers(1, 200_000))
def test_no_moment_of_an_upload_is_ahead_of_its_bandwidth(rate: int, size: int) -> None:
    clock = [0.0]
    sent: list[tuple[float, int]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        total = 0
        for piece in request.stream:  # type: ignore[union-attr]
            sent.append((clock[0], total))
            total += len(piece)
        assert request.headers["content-length"] == str(total) == str(size)
        return httpx.Response(200)

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    class Reading(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return serve(request)

    with httpx.Client(base_url="http://x", transport=Reading()) as client:
        exchange = Exchange(client, bytes_per_s=rate, clock=lambda: clock[0], sleep=sleep)
        exchange.post("/", b"x" * size, "text/plain")
    assert all(before <= moment * rate + 1e-3 for moment, before in sent)


def test_a_slow_link_gets_small_batches_that_grow_again(journal: Journal) -> None:
    for number in range(40):
        journal.record(turn(number), state_json=None)
    sizes: list[int] = []

    def serve(request: httpx.Request) -> httpx.Response:
        from sync.protocol.records import Ack
        from sync.protocol.wire import decode_batch

        batch = decode_batch(request.read())
        sizes.append(len(batch.records))
        if len(batch.records) > 10 and len(sizes) < 5:
            raise httpx.ReadTimeout("slow")
        seqs = [record.seq for record in batch.records]
        ack = Ack(protocol=1, stream=batch.stream, contiguous=0, stored=seqs)
        return httpx.Response(200, content=ack.model_dump_json())

    transport = httpx.MockTransport(serve)
    with httpx.Client(base_url="http://x", transport=transport) as client:
        uplink = Uplink(journal, client, batch_records=64)
        for _ in range(3):
            with pytest.raises(ConnectionError):
                uplink.push()
        assert uplink.push().remaining == 0
    assert sizes[:4] == [64, 32, 16, 8]
    assert sizes[4:6] == [16, 32]


def test_two_processes_do_not_send_at_once(
    journal: Journal, central: Central, client: httpx.Client, tmp_path: Path
) -> None:
    journal.record(turn(1), state_json=None)
    with (
        closing(Journal.open(tmp_path / "device" / "journal.db")) as other,
        other.sending(),
        pytest.raises(StorageError, match="Another process"),
    ):
        Uplink(journal, client).push()
    assert Uplink(journal, client).push().sent == 2


@given(st.binary(min_size=1, max_size=500), st.integers(0, 10**6))
@example(bytes(5), 33)  # the frame then says that it holds nothing
def test_a_flipped_bit_in_a_body_is_found(raw: bytes, where: int) -> None:
    body = bytearray(compress(raw))
    body[where // 8 % len(body)] ^= 1 << where % 8
    with suppress(ProtocolError):  # unless the bit means nothing
        assert decompress(bytes(body), 10**6) == raw
