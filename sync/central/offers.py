"""What a device is offered, what it proved to run, and how its update went.

A device is offered a release once per rollout: after a failure or a rollback only a new rollout
offers it again. It is never offered an older version than it runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from sync.central.rollouts import FINISHED, is_open_to, judge
from sync.central.tables import Device, DeviceUpdate, Release, Rollout
from sync.central.values import plain, utc
from sync.protocol.fleet import Offer, Poll, Running, UpdateReport

_OFFERED_STATES = ("running", "done")
_NEWEST = 20


@dataclass(frozen=True, slots=True)
class Choice:
    """What a device is offered; ``known`` says that it was before."""

    offer: Offer
    known: bool


def offer_for(session: Session, device: Any, running: Running | None) -> Choice | None:
    """The newest release this device may install, or ``None`` where it stays as it is.

    Args:
        device: a row with its ``device_id`` and ``ring``.
    """
    rows = session.execute(
        select(
            Rollout.id,
            Rollout.stages,
            Rollout.stage,
            Release.name,
            Release.version,
            Release.sha256,
            Release.target,
            DeviceUpdate.state,
        )
        .join(Release, Rollout.release_id == Release.id)
        .outerjoin(
            DeviceUpdate,
            (DeviceUpdate.rollout_id == Rollout.id) & (DeviceUpdate.device_id == device.device_id),
        )
        .where(Rollout.state.in_(_OFFERED_STATES))
        .order_by(Rollout.id.desc())
        .limit(_NEWEST)
    )
    for row in rows:
        if running is not None and running.name != row.name:
            continue
        if running is not None and running.sha256 == row.sha256:
            return None
        if row.state is None and not is_open_to(row, device):
            continue
        if row.state in FINISHED:
            return None
        if running is not None and _numbers(row.version) <= _numbers(running.version):
            return None
        offer = Offer(
            rollout=row.id,
            name=row.name,
            version=row.version,
            sha256=row.sha256,
            target=row.target,
        )
        return Choice(offer, known=row.state is not None)
    return None


def note_offer(session: Session, rollout_id: int, device_id: str, now: datetime) -> None:
    """Remember that a device was offered a rollout's release."""
    session.add(
        DeviceUpdate(
            rollout_id=rollout_id,
            device_id=device_id,
            state="offered",
            offered_at=utc(now),
            updated_at=utc(now),
        )
    )


def note_seen(session: Session, device_id: str, poll: Poll, now: datetime) -> None:
    """Keep that a device is there and runs what it ran."""
    values = {"last_seen_at": utc(now)}
    if poll.running is not None:
        values["proved_at"] = utc(now)
    session.execute(update(Device).where(Device.device_id == device_id).values(values))


def note_poll(device: Device, poll: Poll, now: datetime) -> None:
    """Keep what a device proved to run."""
    if poll.running is not None:
        device.running_name = plain(poll.running.name, 64)
        device.running_version = plain(poll.running.version, 64)
        device.running_sha256 = poll.running.sha256
        device.proved_at = utc(now)


def note_report(
    session: Session, device: Device, report: UpdateReport, running: Running | None, now: datetime
) -> bool:
    """Take in how an update goes; whether it was one that this device was offered.

    "Committed" only counts while the device proves to run that very release.
    """
    update = session.get(DeviceUpdate, (report.rollout, device.device_id), with_for_update=True)
    if update is None:
        return False
    if update.state in FINISHED or update.state == report.state:
        return True
    rollout = session.get_one(Rollout, report.rollout, with_for_update=True)
    release = session.get_one(Release, rollout.release_id)
    state, reason = report.state, report.reason
    if state == "committed" and (running is None or running.sha256 != release.sha256):
        ran = f"{running.name} {running.version}" if running else "nothing"
        state, reason = "failed", f"reported as done, but the device runs {ran}"
    update.state, update.updated_at = state, utc(now)
    update.reason = plain(reason, 500)
    update.evidence = json.dumps(report.evidence, ensure_ascii=False)
    session.flush()
    if state in FINISHED:
        judge(session, rollout, now)
    return True


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    numbers = [int(part) if part.isascii() and part.isdigit() else 0 for part in parts]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
