"""From ``edge-convert bundle`` to a device that proved it, and from a worse model to its reason."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundle_slots import device, heads
from fault_proxy import FAULTS, FaultProxy, fault_proxy
from journey_kit import Centre, Shop, centre, swapped

import edge_runtime.running


@pytest.fixture
def head_office(tmp_path: Path) -> Iterator[Centre]:
    with centre(tmp_path / "central") as running:
        yield running


@pytest.fixture
def link(head_office: Centre) -> Iterator[FaultProxy]:
    with fault_proxy(head_office.url, random.Random(4)) as proxy:
        yield proxy


@pytest.fixture
def shop(
    tmp_path: Path, head_office: Centre, link: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    # What this process holds beside the device's engines is not the device's.
    monkeypatch.setattr(edge_runtime.running, "resident_mb", lambda: 300)
    code = head_office.ask("POST", "/v1/enrolments", json={})["code"]
    opened = Shop(device(tmp_path), head_office.root, link.url, code)
    yield opened
    opened.close()


def test_an_update_is_kept_or_taken_back_and_the_server_knows_why(
    head_office: Centre, link: FaultProxy, shop: Shop
) -> None:
    # A good bundle comes over a bad link, is tried, taken over between turns, watched and kept.
    head_office.release("1", heads())
    rollout = head_office.roll_out("1")
    link.faults += random.Random(5).choices([*FAULTS, "none"], k=40)
    assert shop.version == ""
    shop.step(until="probation")
    assert len(set(link.done)) > 5
    shop.serve(60)
    assert shop.version == "1"
    shop.step(until="committed", hours=1)
    link.faults.clear()
    shop.step(until="nothing", hours=1)
    (seen,) = head_office.ask("GET", "/v1/devices")
    assert seen["running_version"] == "1"
    assert head_office.update(rollout)["state"] == "committed"
    assert head_office.update(rollout)["evidence"]["after.completed"] == 60

    # A worse one answers customers with a person instead of the policy, and goes.
    worse = swapped(heads()["labels.json"], "return_policy", "human_agent")
    head_office.release("2", heads(labels_json=worse))
    rollout = head_office.roll_out("2")
    shop.step(until="probation", hours=1)
    shop.serve(30)
    assert shop.version == "2"
    shop.step(until="rolled_back", hours=1)
    update = head_office.update(rollout)
    assert update["state"] == "rolled_back"
    assert "dialogues were completed" in update["reason"]
    assert update["evidence"]["after.completed"] == 0
    shop.serve(1)
    assert shop.version == "1"

    # It comes back by nothing but a new signed decision.
    shop.step(until="nothing", hours=1)
    again = head_office.roll_out("2")
    shop.step(until="failed", hours=1)
    assert "taken back here" in head_office.update(again)["reason"]
    assert shop.version == "1"
    head_office.publish(head_office.folder / "store" / "bundles" / "retail" / "2.json")
    head_office.roll_out("2")
    shop.step(until="probation", hours=1)
