"""Forgetting on either database: by a person's pseudonym, and by the time a record was kept."""

from __future__ import annotations

from datetime import timedelta

from central_kit import NOW, Fleet, metric, said
from sqlalchemy import func, select

from sync.central.retention import Periods, retain
from sync.central.tables import StoredRecord, TurnMetric, Unanswered

MASK = "[USER:0123456789abcdef]"


def kinds(fleet: Fleet) -> list[str]:
    with fleet.database.read() as session:
        return list(session.scalars(select(StoredRecord.kind).order_by(StoredRecord.seq)))


def test_an_erased_person_is_gone_and_the_others_stay(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    fleet.send("till-1", [said(1, 0, user=MASK), metric(2, 0), said(3, 9), metric(4, 9)])
    body = {"protocol": 1, "pseudonyms": [MASK], "receipt": "asked for at the till"}
    erased = fleet.ask("POST", "/v1/fleet/persons/erase", json=body).json()
    assert '"records": 2' in erased["receipt"]
    assert kinds(fleet) == ["dropped", "dropped", "turn", "metric"]
    with fleet.database.read() as session:
        assert sum("ERASED" in one for one in session.scalars(select(TurnMetric.session))) == 1
    again = fleet.ask("POST", "/v1/fleet/persons/erase", json=body).json()
    assert again == erased
    fleet.send("till-1", [said(1, 0, user=MASK)])
    assert kinds(fleet) == ["dropped", "dropped", "turn", "metric"]


def test_what_is_past_its_period_goes_from_every_table(fleet: Fleet) -> None:
    fleet.enrol("till-1")
    unanswered = {"decision": "clarify", "intent": "out_of_scope"}
    fleet.send("till-1", [said(1, 0, **unanswered), metric(2, 0)])
    with fleet.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Unanswered)) == 1
    periods = Periods(turn=30, escalation=30, metric=90, audit=90)
    gone = []
    for days in (29, 31, 31):
        with fleet.database.write() as session:
            gone.append(retain(session, periods, NOW + timedelta(days=days)))
    assert gone == [{}, {"turn": 1}, {}]
    assert kinds(fleet) == ["dropped", "metric"]
    with fleet.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Unanswered)) == 0
