"""Who may do what: every endpoint, every role, and other devices' data."""

from __future__ import annotations

from pathlib import Path

import pytest
from central_kit import MANY, Fleet, fleet_on, metric
from sqlalchemy import select

from sync.central.database import Database
from sync.central.limits import RateLimiter, Rates
from sync.central.tables import Device, Operator

DAYS = "since=2026-03-01&until=2026-03-02"
ROLES = ["nobody", "stranger", "device", "viewer", "operator", "admin"]
# What each caller, in the order of ROLES, is answered.
DEVICE, EITHER = "401 401 ok 401 401 401", "401 401 ok ok ok ok"
VIEWER, OPERATOR = "401 401 401 ok ok ok", "401 401 401 403 ok ok"
ADMIN = "401 401 401 403 403 ok"
ANYBODY = "ok ok ok ok ok ok"
MATRIX = {
    ("GET", "/health"): ANYBODY,
    ("GET", "/openapi.json"): ANYBODY,
    ("POST", "/v1/enroll"): ANYBODY,
    ("POST", "/v1/credential"): DEVICE,
    ("POST", "/v1/ingest"): DEVICE,
    ("POST", "/v1/poll"): DEVICE,
    ("GET", "/v1/repository/{name}"): EITHER,
    ("POST", "/v1/enrolments"): OPERATOR,
    ("GET", "/v1/devices"): VIEWER,
    ("PATCH", "/v1/devices/{device_id}"): OPERATOR,
    ("DELETE", "/v1/devices/{device_id}/credential"): ADMIN,
    ("GET", "/v1/operators"): ADMIN,
    ("POST", "/v1/operators"): ADMIN,
    ("DELETE", "/v1/operators/{name}"): ADMIN,
    ("GET", "/v1/audit"): ADMIN,
    ("GET", "/v1/metrics/daily"): VIEWER,
    ("GET", "/v1/metrics/unanswered"): VIEWER,
    ("GET", "/v1/alerts"): VIEWER,
    ("GET", "/v1/handoffs"): VIEWER,
    ("PATCH", "/v1/handoffs/{handoff_id}"): OPERATOR,
    ("GET", "/metrics"): VIEWER,
    ("GET", "/v1/releases"): VIEWER,
    ("POST", "/v1/rollouts"): OPERATOR,
    ("GET", "/v1/rollouts"): VIEWER,
    ("GET", "/v1/rollouts/{rollout_id}/devices"): VIEWER,
    ("PATCH", "/v1/rollouts/{rollout_id}"): OPERATOR,
    ("POST", "/v1/persons/erase"): DEVICE,
    ("POST", "/v1/persons/export"): DEVICE,
    ("POST", "/v1/fleet/persons/erase"): OPERATOR,
    ("POST", "/v1/fleet/persons/export"): OPERATOR,
    ("GET", "/v1/fleet/erasures"): OPERATOR,
}
FILLED = {"device_id": "till-9", "name": "x", "handoff_id": "9", "rollout_id": "9"}


@pytest.fixture
def staffed(fleet: Fleet) -> Fleet:
    fleet.enrol("till-1")
    fleet.tokens |= {
        "nobody": "",
        "stranger": "operator:eve.guess",
        "device": fleet.tokens["till-1"],
    }
    for role in ("viewer", "operator"):
        fleet.operator(role, role)
    return fleet


def test_the_matrix_names_every_endpoint(fleet: Fleet) -> None:
    described = {
        (method.upper(), path.replace(":path", ""))
        for path, methods in fleet.app.openapi()["paths"].items()
        for method in methods
    }
    assert described | {("GET", "/openapi.json")} == set(MATRIX)


def test_every_endpoint_lets_in_only_whom_it_should(staffed: Fleet) -> None:
    wrong = []
    for (method, path), expected in MATRIX.items():
        for role, wanted in zip(ROLES, expected.split(), strict=True):
            url = path.format(**FILLED)
            query = f"?{DAYS}" if "/v1/metrics" in path else ""
            answer = staffed.ask(method, url + query, role, json={})
            # Let in, an empty or unknown request is refused for what it says, not for who asks.
            found = str(answer.status_code) if answer.status_code in (401, 403) else "ok"
            if found != wanted:
                wrong.append((method, path, role, wanted, answer.status_code))
    assert wrong == []


def test_a_device_cannot_speak_or_report_for_another(fleet: Fleet) -> None:
    for name in ("till-1", "till-2"):
        fleet.enrol(name)
    assert fleet.send("till-2", [metric(1, 0)], who="till-1").status_code == 403
    forged = f"till-2.{fleet.tokens['till-1'].rpartition('.')[2]}"
    fleet.tokens["forged"] = forged
    assert fleet.send("till-2", [metric(1, 0)], who="forged").status_code == 401
    update = {"rollout": 1, "state": "committed"}
    fleet.ask("POST", "/v1/poll", "till-1", json={"protocol": 1, "update": update})
    assert fleet.get("/v1/rollouts/1/devices") == []


def test_a_rotated_credential_takes_over_at_its_first_use(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    fleet.tokens["new"] = fleet.ask("POST", "/v1/credential", "till-1").json()["token"]
    poll = {"protocol": 1}
    # The answer may have been lost: the old one still works, until the new one is used.
    assert fleet.ask("POST", "/v1/poll", "till-1", json=poll).status_code == 200
    assert fleet.ask("POST", "/v1/poll", "new", json=poll).status_code == 200
    assert fleet.ask("POST", "/v1/poll", "till-1", json=poll).status_code == 401
    assert fleet.ask("DELETE", "/v1/devices/till-1/credential").status_code == 204
    assert fleet.ask("POST", "/v1/poll", "new", json=poll).status_code == 401


def test_a_revoked_operator_is_locked_out_and_a_new_token_replaces_the_old(fleet: Fleet) -> None:
    fleet.operator("ann", "viewer")
    fleet.tokens["old"] = fleet.tokens["ann"]
    fleet.operator("ann", "operator")
    assert fleet.ask("GET", "/v1/devices", "old").status_code == 401
    assert fleet.ask("POST", "/v1/enrolments", "ann", json={}).status_code == 200
    assert fleet.ask("DELETE", "/v1/operators/ann").status_code == 204
    assert fleet.ask("GET", "/v1/devices", "ann").status_code == 401
    (shown,) = fleet.get("/v1/operators")
    assert (shown["name"], shown["role"], shown["active"]) == ("ann", "operator", False)


def test_tokens_are_kept_only_as_hashes(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    fleet.operator("ann", "viewer")
    fleet.ask("POST", "/v1/credential", "till-1")
    with fleet.database.read() as session:
        kept = [*session.scalars(select(Device)), *session.scalars(select(Operator))]
        text = repr([row.__dict__ for row in kept])
    for token in fleet.tokens.values():
        assert token.rpartition(".")[2] not in text


def test_changes_are_in_the_audit_log_and_refused_ones_are_not(staffed: Fleet) -> None:
    staffed.ask("PATCH", "/v1/devices/till-1", "operator", json={"ring": "early"})
    staffed.ask("PATCH", "/v1/devices/till-1", "viewer", json={"ring": "late"})
    staffed.ask("PATCH", "/v1/devices/till-9", "operator", json={"ring": "late"})
    newest, *older = staffed.get("/v1/audit")
    assert (newest["actor"], newest["action"]) == ("operator:operator", "change device")
    assert (newest["subject"], newest["detail"]) == ("till-1", {"ring": "early"})
    assert [entry["action"] for entry in older] == [
        "make operator", "make operator", "enrol", "make code",
    ]  # fmt: skip
    assert staffed.get(f"/v1/audit?before={older[-1]['id'] + 1}") == [older[-1]]


def test_who_asks_too_often_is_told_when_to_come_back(database: Database, tmp_path: Path) -> None:
    rates = Rates(attempts=5, device=3, operator=MANY.operator)
    with fleet_on(database, tmp_path / "objects", rates) as fleet:
        fleet.enrol("till-1")
        polls = [fleet.ask("POST", "/v1/poll", "till-1", json={"protocol": 1}) for _ in range(4)]
        assert [answer.status_code for answer in polls] == [200, 200, 200, 429]
        assert 1 <= int(polls[-1].headers["retry-after"]) <= 21
        code = {"code": "WRONG-WRONG-WRONG", "device_id": "till-2"}
        guesses = [fleet.http.post("/v1/enroll", json=code).status_code for _ in range(5)]
        assert guesses == [403, 403, 403, 403, 429]
        fleet.tokens["guess"] = "till-1.guess"
        assert fleet.ask("POST", "/v1/poll", "guess", json={"protocol": 1}).status_code == 429


def test_a_bucket_refills_with_time_and_many_keys_cost_no_more() -> None:
    now = 0.0
    limiter = RateLimiter(60, clock=lambda: now)
    assert [limiter.wait_s("a") for _ in range(60)] == [0.0] * 60
    assert limiter.wait_s("a") == pytest.approx(1.0)
    assert limiter.wait_s("b") == 0.0
    now = 2.0
    assert [limiter.wait_s("a") > 0 for _ in range(3)] == [False, False, True]
    for number in range(60_000):
        limiter.wait_s(str(number))
    assert len(limiter._buckets) == 50_000
