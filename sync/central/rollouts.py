"""Rollouts: which device is offered which release, when the next may be, and when to stop.

A rollout goes through stages. Each opens it to a share of one ring's devices (or of all), and what
is open stays open. A device's place in the share is drawn by hashing its id with the rollout's, so
that it needs no list, holds while the share grows, and differs between rollouts.

What devices report decides. An update that failed or was rolled back is an error; the rollout is
paused as soon as errors ÷ max(finished, ``min_reports``) exceeds the error threshold. A stage is
followed by the next once it has lasted ``soak_minutes``, at least ``min_reports`` devices (or all
that were offered it and still answer) have finished, and the share that succeeded reaches the
success threshold. A device that has not been heard of for ``silent_hours`` is shown as silent and
counts neither way.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from sync.central.alerts import raise_alert
from sync.central.tables import Device, DeviceUpdate, Release, Rollout
from sync.central.values import plain, utc

FINISHED = ("committed", "rolled_back", "failed")
_ERRORS = ("rolled_back", "failed")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(_Strict):
    """``percent`` of the devices in ``ring``; an empty ring means all devices."""

    ring: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    percent: Annotated[int, Field(ge=1, le=100)]


class Rule(_Strict):
    """When a rollout goes on and when it pauses; shares are from 0 to 1."""

    success: Annotated[float, Field(ge=0, le=1)] = 0.9
    errors: Annotated[float, Field(ge=0, le=1)] = 0.1
    min_reports: Annotated[int, Field(ge=1, le=100_000)] = 5
    soak_minutes: Annotated[int, Field(ge=0, le=60 * 24 * 60)] = 60
    silent_hours: Annotated[int, Field(ge=1, le=24 * 365)] = 72


DEFAULT_STAGES = (Stage(percent=5), Stage(percent=25), Stage(percent=100))
_STAGES = TypeAdapter(tuple[Stage, ...])


def start(
    session: Session,
    release_id: str,
    stages: Sequence[Stage],
    rule: Rule,
    actor: str,
    now: datetime,
) -> Rollout | None:
    """Begin to offer a release; ``None`` when there is no such release. Older rollouts of the same
    bundle end: what they offered is overtaken."""  # fmt: skip
    release = session.get(Release, release_id)
    if release is None:
        return None
    older = session.scalars(
        select(Rollout)
        .join(Release)
        .where(Release.name == release.name, Rollout.state.in_(("running", "paused")))
        .with_for_update(of=Rollout)
    )
    for rollout in older:
        rollout.state, rollout.reason = "cancelled", f"overtaken by {release_id}"
    created = Rollout(
        release_id=release_id,
        stages=_STAGES.dump_json(tuple(stages)).decode(),
        stage=0,
        stage_since=utc(now),
        state="running",
        judged_from=utc(now),
        rule=rule.model_dump_json(),
        created_at=utc(now),
        created_by=plain(actor, 140),
    )
    session.add(created)
    session.flush()
    return created


_CHANGES: Mapping[tuple[str, str], str] = {
    ("running", "pause"): "paused",
    ("paused", "resume"): "running",
    ("running", "cancel"): "cancelled",
    ("paused", "cancel"): "cancelled",
    ("done", "cancel"): "cancelled",
}


def change(rollout: Rollout, action: str, now: datetime) -> bool:
    """Pause, resume or cancel; whether it can, being in the state it is in.

    To resume is to accept the errors so far: only new ones pause the rollout again.
    """
    state = _CHANGES.get((rollout.state, action))
    if state is None:
        return False
    rollout.state, rollout.reason = state, ""
    if action == "resume":
        rollout.judged_from = utc(now)
    return True


@lru_cache(256)
def stages_in(text: str) -> tuple[Stage, ...]:
    """A rollout's ``stages``."""
    return _STAGES.validate_json(text)


def is_open_to(rollout: Any, device: Any) -> bool:
    """Whether the stages so far reach this device.

    Args:
        rollout: a row with its ``id``, ``stages`` and ``stage``.
        device: a row with its ``device_id`` and ``ring``.
    """
    place = _place(rollout.id, device.device_id)
    return any(
        place < stage.percent
        for stage in stages_in(rollout.stages)[: rollout.stage + 1]
        if stage.ring in ("", device.ring)
    )


def _place(rollout_id: int, device_id: str) -> float:
    """From 0 to 100, evenly spread over devices."""
    drawn = hashlib.sha256(f"{rollout_id}:{device_id}".encode()).digest()
    return int.from_bytes(drawn[:6], "big") * 100 / 2**48


def judge(session: Session, rollout: Rollout, now: datetime) -> None:
    """Pause a running rollout or open its next stage, as its rule says."""
    if rollout.state != "running":
        return
    rule = Rule.model_validate_json(rollout.rule)
    ends = _ends(session, rollout)
    errors = sum(ends[state] for state in _ERRORS)
    if errors / max(ends.total(), rule.min_reports) > rule.errors:
        found = f"{errors} of {ends.total()} devices failed: {_commonest(session, rollout)}"
        rollout.state, rollout.reason = "paused", plain(found, 500)
        raise_alert(
            session, "rollout_paused", f"rollout:{rollout.id}", now,
            release=rollout.release_id, reason=rollout.reason,
        )  # fmt: skip
        return
    states = progress(session, rollout, now)
    finished = sum(states[state] for state in FINISHED)
    answering = sum(states.values()) - states["silent"]
    if (
        now - datetime.fromisoformat(rollout.stage_since) < timedelta(minutes=rule.soak_minutes)
        or finished == 0
        or finished < min(rule.min_reports, answering)
        or states["committed"] < rule.success * finished
    ):
        return
    if rollout.stage + 1 < len(stages_in(rollout.stages)):
        rollout.stage += 1
        rollout.stage_since = utc(now)
    elif finished == answering:
        rollout.state = "done"


def advance(session: Session, now: datetime) -> None:
    """Judge every running rollout that no other replica is judging."""
    running = session.scalars(
        select(Rollout)
        .where(Rollout.state == "running")
        .order_by(Rollout.id)
        .with_for_update(skip_locked=True)
    ).all()
    for rollout in running:
        judge(session, rollout, now)


def progress(session: Session, rollout: Rollout, now: datetime) -> Counter[str]:
    """How many of the devices that were offered it are in which state; the unfinished ones that
    were not heard of for long are "silent"."""
    rule = Rule.model_validate_json(rollout.rule)
    silent = utc(now - timedelta(hours=rule.silent_hours))
    shown = case(
        (DeviceUpdate.state.not_in(FINISHED) & (Device.last_seen_at < silent), "silent"),
        else_=DeviceUpdate.state,
    )
    counts = (
        select(shown.label("shown"), func.count())
        .join(Device, Device.device_id == DeviceUpdate.device_id)
        .where(DeviceUpdate.rollout_id == rollout.id)
        .group_by("shown")
    )
    return Counter(dict(session.execute(counts).all()))


def _ends(session: Session, rollout: Rollout) -> Counter[str]:
    """How the updates went that ended since the rollout was last started or resumed."""
    counts = (
        select(DeviceUpdate.state, func.count())
        .where(
            DeviceUpdate.rollout_id == rollout.id,
            DeviceUpdate.state.in_(FINISHED),
            DeviceUpdate.updated_at >= rollout.judged_from,
        )
        .group_by(DeviceUpdate.state)
    )
    return Counter(dict(session.execute(counts).all()))


def _commonest(session: Session, rollout: Rollout) -> str:
    reasons = session.scalars(
        select(DeviceUpdate.reason)
        .where(
            DeviceUpdate.rollout_id == rollout.id,
            DeviceUpdate.state.in_(_ERRORS),
            DeviceUpdate.updated_at >= rollout.judged_from,
        )
        .limit(1000)
    )
    (reason, _), *_ = Counter(reasons).most_common(1) or [("no reason given", 0)]
    return reason or "no reason given"


def view(session: Session, rollout: Rollout, now: datetime) -> dict[str, Any]:
    """A rollout as the API shows it."""
    return {
        "id": rollout.id,
        "release": rollout.release_id,
        "state": rollout.state,
        "reason": rollout.reason,
        "stage": rollout.stage,
        "stage_since": rollout.stage_since,
        "stages": [stage.model_dump() for stage in stages_in(rollout.stages)],
        "rule": json.loads(rollout.rule),
        "devices": dict(sorted(progress(session, rollout, now).items())),
        "created_at": rollout.created_at,
        "created_by": rollout.created_by,
    }
