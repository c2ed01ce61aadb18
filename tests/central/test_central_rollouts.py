"""A release's way to the fleet: offers, proofs, the automatic pause, silent devices."""

from __future__ import annotations

from typing import Any

from central_kit import Fleet

from sync.central.tables import Release

OLD = {"name": "retail", "version": "1.0", "sha256": "b" * 64}
NEW = {"name": "retail", "version": "1.1", "sha256": "a" * 64}


def offered_to(fleet: Fleet, count: int) -> None:
    """A release, and a rollout that was offered to all of ``count`` devices."""
    with fleet.database.write() as session:
        session.add(
            Release(
                id="retail-1.1", name="retail", version="1.1", sha256="a" * 64, size=1, cards="{}",
                target="bundles/retail/1.1.json", created_at="", created_by="",
            )
        )  # fmt: skip
    body = {"release": "retail-1.1", "stages": [{"percent": 100}], "rule": {"errors": 0.2}}
    assert fleet.ask("POST", "/v1/rollouts", json=body).json()["state"] == "running"
    for number in range(count):
        fleet.enrol(f"t{number}")
        assert poll(fleet, number, OLD)["version"] == "1.1"


def poll(fleet: Fleet, number: int, running: object, **update: object) -> Any:
    body = {"protocol": 1, "running": running}
    if update:
        body["update"] = {"rollout": 1, **update}
    return fleet.ask("POST", "/v1/poll", f"t{number}", json=body).json()["offer"]


def test_too_many_failures_pause_a_rollout_and_say_why(fleet: Fleet) -> None:
    offered_to(fleet, 4)
    poll(fleet, 0, NEW, state="committed")
    evidence = {"dialogues": 60}
    poll(fleet, 1, OLD, state="rolled_back", reason="CCR fell to 60 %", evidence=evidence)
    assert fleet.get("/v1/rollouts")[0]["state"] == "running"
    poll(fleet, 2, OLD, state="rolled_back", reason="CCR fell to 60 %")
    (rollout,) = fleet.get("/v1/rollouts")
    assert rollout["state"] == "paused"
    assert rollout["reason"] == "2 of 3 devices failed: CCR fell to 60 %"
    assert fleet.get("/v1/alerts")[0]["kind"] == "rollout_paused"
    assert fleet.get("/v1/rollouts/1/devices")[1]["evidence"] == evidence
    assert poll(fleet, 3, OLD) is None


def test_a_resumed_rollout_is_paused_by_new_failures_only(fleet: Fleet) -> None:
    offered_to(fleet, 4)
    for number in (0, 1):
        poll(fleet, number, OLD, state="failed", reason="disk full")
    fleet.clock.move(minutes=1)
    answer = fleet.ask("PATCH", "/v1/rollouts/1", json={"action": "resume"})
    assert answer.json()["state"] == "running"
    fleet.work()
    assert fleet.get("/v1/rollouts")[0]["state"] == "running"
    assert poll(fleet, 0, OLD) is None  # once per rollout
    assert poll(fleet, 2, OLD)["version"] == "1.1"


def test_what_a_device_runs_is_what_it_proves(fleet: Fleet) -> None:
    offered_to(fleet, 2)
    poll(fleet, 0, OLD, state="committed")
    poll(fleet, 1, NEW, state="committed")
    first, second = fleet.get("/v1/rollouts/1/devices")
    assert (first["state"], second["state"]) == ("failed", "committed")
    assert "runs retail 1.0" in first["reason"]
    running = {
        device["device_id"]: device["running_version"] for device in fleet.get("/v1/devices")
    }
    assert running == {"t0": "1.0", "t1": "1.1"}


def test_a_device_that_is_not_heard_of_is_shown_as_silent(fleet: Fleet) -> None:
    offered_to(fleet, 2)
    poll(fleet, 0, OLD, state="installing")
    fleet.clock.move(hours=80)
    poll(fleet, 0, OLD, state="probation")
    assert fleet.get("/v1/rollouts")[0]["devices"] == {"probation": 1, "silent": 1}
    assert [device["silent"] for device in fleet.get("/v1/devices")] == [False, True]
