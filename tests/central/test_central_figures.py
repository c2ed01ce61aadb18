"""Figures by day, told apart as asked; late turns; unanswered questions; the 85 % alert."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from datetime import timedelta

import httpx
import pytest
from central_kit import NOW, Clock, Fleet, dialogues, metric, said
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import ConfigError
from sync.central.alerts import Webhook, check_webhook, is_low
from sync.central.figures import Sketch
from sync.central.settings import load_central_settings

DAY = "/v1/metrics/daily?since=2026-03-02&until=2026-03-02"


def test_figures_are_told_apart_by_what_is_asked(fleet: Fleet) -> None:
    fleet.enrol("till-1", shop="Main")
    fleet.enrol("till-2", shop="Main")
    fleet.enrol("kiosk-1", shop="Park")
    fleet.send("till-1", [metric(1, 0), metric(2, 30, language="en", decision="handover")])
    fleet.send("till-2", [metric(1, 0, runtime_version="0.2.0", blocked_count=2)])
    fleet.send("kiosk-1", [metric(1, 0, intent="out_of_scope")])
    shops = {row["shop"]: row for row in fleet.get(DAY + "&by=shop")}
    assert (shops["Main"]["turns"], shops["Park"]["turns"]) == (3, 1)
    assert shops["Main"]["escalation_rate"] == pytest.approx(1 / 3)
    assert shops["Main"]["ccr"] == pytest.approx(2 / 3)
    assert (shops["Park"]["ccr"], shops["Park"]["unanswered"]) == (0.0, 1)
    assert shops["Main"]["intents"] == {"return": 3}
    versions = {row["version"]: row["blocked"] for row in fleet.get(DAY + "&by=version")}
    assert versions == {"0.1.0": 0, "0.2.0": 2}
    languages = fleet.get(DAY + "&by=language&by=shop&shop=Main")
    assert [(row["language"], row["turns"]) for row in languages] == [("en", 1), ("zh", 2)]
    whole = fleet.get(DAY + "&device=kiosk-1")
    assert [(row["device_id"], row["shop"]) for row in whole] == [("kiosk-1", "Park")]
    assert len(fleet.get(DAY + "&limit=2")) == 2
    assert fleet.get(DAY + "&offset=2&limit=2")[0]["device_id"] == "till-2"


def test_turns_that_come_late_and_out_of_order_are_counted_anew(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    turns = [metric(number + 1, number, session="one") for number in range(4)]
    fleet.send("till-1", [turns[3], turns[0]])
    assert fleet.get(DAY)[0]["dialogues"] == 1
    fleet.clock.move(days=1)
    late = metric(5, 4, session="one", decision="handover")
    fleet.send("till-1", [turns[2], turns[1], late, turns[0]])
    fleet.clock.move(minutes=2)
    assert fleet.work().days == 1
    (day,) = fleet.get(DAY)
    assert (day["turns"], day["dialogues"], day["ccr"]) == (5, 1, 0.0)
    assert fleet.work().days == 0


def test_a_dialogue_counts_once_it_is_closed(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    fleet.send("till-1", [metric(1, 0, started_at=NOW.isoformat())])
    assert fleet.get(DAY)[0]["dialogues"] == 0
    fleet.clock.move(minutes=29)
    fleet.work()
    assert fleet.get(DAY)[0]["dialogues"] == 0
    fleet.clock.move(minutes=2)
    fleet.work()
    assert (fleet.get(DAY)[0]["dialogues"], fleet.get(DAY)[0]["ccr"]) == (1, 1.0)


def test_a_dialogue_over_midnight_counts_on_the_day_it_began(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    midnight = NOW.replace(hour=0)
    minutes = (-20, -5, 10, 30)
    records = [
        metric(seq, seq, session="s", started_at=(midnight + timedelta(minutes=at)).isoformat())
        for seq, at in enumerate(minutes, 1)
    ]
    fleet.send("till-1", records)
    rows = fleet.get("/v1/metrics/daily?since=2026-03-01&until=2026-03-02")
    assert [(row["day"], row["turns"], row["dialogues"]) for row in rows] == [
        ("2026-03-01", 2, 1), ("2026-03-02", 2, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("off", ["1970-01-01T00:00:00+00:00", "2040-01-01T00:00:00+00:00"])
def test_a_clock_that_is_years_off_is_counted_when_it_came(fleet: Fleet, off: str) -> None:
    fleet.enrol("till-1")
    fleet.send("till-1", [metric(1, 0, started_at=off)])
    assert fleet.get(DAY)[0]["turns"] == 1


def test_unanswered_questions_are_listed_newest_first(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    fleet.send("till-1", [
        said(1, 0), said(2, 1, text="月亮多高", intent="out_of_scope"),
        said(3, 2, text="那个呢", decision="clarify"),
        said(4, 3, text="how?", outcome="failed", language="en"),
    ])  # fmt: skip
    path = "/v1/metrics/unanswered?since=2026-03-02&until=2026-03-02"
    assert [row["text"] for row in fleet.get(path)] == ["how?", "那个呢", "月亮多高"]
    assert [row["text"] for row in fleet.get(path + "&language=en")] == ["how?"]
    assert len(fleet.get(path + "&limit=1")) == 1


@given(st.lists(st.floats(0.01, 1e8), min_size=1, max_size=200), st.integers(1, 100))
def test_a_sketch_is_within_one_percent_and_adds_up(values: list[float], percent: int) -> None:
    cut = len(values) // 2
    sketch = Sketch.from_json(Sketch.of(values[:cut]).to_json())
    sketch.add(Sketch.of(values[cut:]))
    exact = sorted(values)[max(math.ceil(percent * len(values) / 100), 1) - 1]
    assert sketch.percentile(percent) == pytest.approx(exact, rel=0.0101)


def test_a_low_rate_must_be_more_than_chance() -> None:
    assert not is_low(14, 19)  # too few
    assert not is_low(16, 20)  # below 85 %, but one in six such days is
    assert is_low(13, 20)
    assert not is_low(850, 1000)
    assert is_low(8000, 10_000)


def low_shop(fleet: Fleet) -> None:
    fleet.enrol("till-1", shop="Main")
    fleet.enrol("till-2", shop="Park")
    fleet.send("till-1", dialogues(40, 24))
    fleet.send("till-2", dialogues(40, 38))
    fleet.clock.move(minutes=5)


class Receiver(httpx.BaseTransport):
    """A webhook that answers with these statuses in turn, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise httpx.ConnectError("unplugged")
        return httpx.Response(status, headers={"Location": "http://127.0.0.1:9/"})


def test_a_shop_below_85_percent_is_told_once_and_signed(fleet: Fleet) -> None:
    low_shop(fleet)
    receiver = Receiver()
    hook = {"webhook": Webhook("https://hook.example/x", "shared"),
            "client": httpx.Client(transport=receiver)}  # fmt: skip
    assert fleet.work(**hook).delivered == 1
    fleet.clock.move(minutes=5)
    assert fleet.work(**hook).delivered == 0
    (request,) = receiver.requests
    body = json.loads(request.content)
    assert (body["kind"], body["subject"], body["day"]) == ("completion", "shop:Main", "2026-03-02")
    assert body["detail"] == {"dialogues": 40, "completed": 24, "ccr": 0.6, "floor": 0.85}
    signed = request.headers["x-edge-timestamp"].encode() + b"." + request.content
    expected = hmac.new(b"shared", signed, hashlib.sha256).hexdigest()
    assert request.headers["x-edge-signature"] == f"sha256={expected}"
    (kept,) = fleet.get("/v1/alerts")
    assert kept["delivered_at"]


def test_a_webhook_that_fails_is_tried_again_ever_more_rarely_and_given_up(fleet: Fleet) -> None:
    low_shop(fleet)
    receiver = Receiver(500, 0, 302)
    hook = {"webhook": Webhook("https://hook.example/x"),
            "client": httpx.Client(transport=receiver)}  # fmt: skip
    tries = []
    for _ in range(10):
        before = len(receiver.requests)
        fleet.work(**hook)
        tries.append(len(receiver.requests) - before)
        fleet.clock.move(seconds=31)
    assert tries == [1, 1, 0, 1, 0, 0, 0, 1, 0, 0]
    assert receiver.requests[-1].url == "https://hook.example/x"
    assert fleet.get("/v1/alerts")[0]["attempts"] == 4

    fleet.send("till-2", dialogues(40, 0, start=100))
    never = Receiver(*[500] * 1000)
    hook["client"] = httpx.Client(transport=never)
    for _ in range(60):
        fleet.clock.move(hours=1)
        fleet.work(**hook)
    assert 20 < len(never.requests) < 40
    assert fleet.get("/v1/alerts")[0]["last_error"] == "HTTP 500"


def test_alerts_are_not_sent_unencrypted_over_a_network() -> None:
    assert check_webhook("https://hook.example/x") == "https://hook.example/x"
    assert check_webhook("http://127.0.0.1:9/x")
    for url in ("http://hook.example", "ftp://x", "https://", "x"):
        with pytest.raises(ConfigError):
            check_webhook(url)
        with pytest.raises(ConfigError):
            _ = load_central_settings(webhook_url=url).webhook


def test_prometheus_is_told_what_came_and_how_the_fleet_is(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    fleet.send("till-1", [metric(1, 0), said(2, 0), metric(3, 1)])
    text = fleet.ask("GET", "/metrics").text
    for line in (
        'edge_central_records_total{kind="metric"} 2.0',
        "edge_central_devices 1.0",
        'edge_central_handoffs{status="open"} 0.0',
        'edge_central_request_seconds_count{endpoint="/v1/ingest",status="200"} 1.0',
        "edge_central_devices_silent 0.0",
        'edge_central_today{figure="turns"} 0.0',
    ):
        assert line in text
    fleet.clock.move(hours=1)
    fleet.work()
    text = fleet.ask("GET", "/metrics").text
    for figure, value in (("turns", 2), ("dialogues", 1), ("completed", 1), ("escalated", 0)):
        assert f'edge_central_today{{figure="{figure}"}} {value}.0' in text
    fleet.clock.move(hours=72)
    fleet.enrol("till-2")
    text = fleet.ask("GET", "/metrics").text
    assert "edge_central_devices_silent 1.0" in text
    assert 'edge_central_today{figure="turns"} 0.0' in text
    assert isinstance(fleet.clock, Clock)
