"""The wire format: what is encoded is decoded, everything else is refused."""

from __future__ import annotations

import random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from sync_kit import turn

from edge_runtime.journal import Redactor
from edge_runtime.journal import payloads as made
from sync.protocol.base import ProtocolError
from sync.protocol.records import PAYLOADS, Batch, Record, check_payload, contiguous_after, digest
from sync.protocol.wire import decode_batch, decompress, encode_batch
from sync.uplink import backoff

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.integers(1, 2**53))
def test_a_batch_survives_the_wire(payload: dict[str, object], seq: int) -> None:
    record = Record(seq=seq, kind="turn", created_at="now", payload=payload)
    batch = Batch(protocol=1, device_id="d", stream="s", sent_at="now", records=[record])
    assert decode_batch(encode_batch(batch)) == batch


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_rubbish_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_batch(body)


def test_every_cut_is_noticed() -> None:
    raw = random.Random(1).randbytes(400_000)
    body = zstandard.ZstdCompressor().compress(raw)
    assert decompress(body, len(raw)) == raw
    for cut in [*range(40), *range(1000, len(body), 9973), len(body) - 1]:
        with pytest.raises(ProtocolError):
            decompress(body[:cut], len(raw))


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(b"0" * 50_000_000)
    assert len(bomb) < 10_000
    with pytest.raises(ProtocolError, match="larger than"):
        decompress(bomb, 1_000_000)


def test_what_the_journal_makes_is_what_the_protocol_takes() -> None:
    redactor = Redactor(b"k" * 32)
    record = turn(
        1, decision="handover", user="u", sources=("a",), blocked=("b",), models={"m": "1"}
    )
    for kind, payload in {
        "turn": made.turn_payload(record, redactor),
        "metric": made.metric_payload(record, redactor),
        "escalation": made.escalation_payload(record, [record], redactor),
    }.items():
        assert check_payload(kind, payload) == ""
        assert set(payload) == set(PAYLOADS[kind].model_fields), kind


def test_a_huge_turn_still_makes_acceptable_records() -> None:
    redactor = Redactor(b"k" * 32)
    record = turn(
        1, text="字" * 100_000, reply="x" * 100_000, ocr_text="y" * 100_000,
        entities=tuple({"type": "t" * 900, "value": "v" * 90_000} for _ in range(500)),
        sources=("s" * 50_000,) * 500, timings_ms={f"stage{n}": 1.0 for n in range(500)},
    )  # fmt: skip
    assert check_payload("metric", made.metric_payload(record, redactor)) == ""
    assert (
        check_payload("escalation", made.escalation_payload(record, [record] * 6, redactor)) == ""
    )


def test_an_unknown_kind_is_kept_and_a_bad_payload_is_not() -> None:
    assert check_payload("newer_kind", {"x": 1}) == ""
    assert "session" in check_payload("turn", {"turn_id": "1"})
    assert check_payload("newer_kind", {"x": "y" * 600_000}) == "payload too large"


@given(st.sets(st.integers(1, 60)), st.integers(0, 10))
def test_contiguous_is_the_end_of_the_run(present: set[int], start: int) -> None:
    end = contiguous_after(start, sorted(seq for seq in present if seq > start))
    assert all(seq in present for seq in range(start + 1, end + 1))
    assert end + 1 not in present


def test_the_digest_does_not_depend_on_key_order() -> None:
    assert digest("a", {"x": 1, "y": 2}) == digest("a", {"y": 2, "x": 1})
    assert digest("a", {"x": 1}) != digest("b", {"x": 1})


@given(st.integers(1, 10_000), st.integers())
def test_waits_grow_but_stay_bounded(attempt: int, seed: int) -> None:
    wait = backoff(attempt, random.Random(seed), base_s=2, cap_s=300)
    assert 1 <= wait <= min(300, 2 * 2 ** min(attempt - 1, 20))
