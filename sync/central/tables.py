"""The server's tables. Times are UTC, ISO 8601 text of fixed width, so that they sort."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

QUARANTINED = "quarantined"
_NUMBER = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Base of every table."""


class Device(Base):
    """A device that enrolled. ``credential_hash`` is empty once revoked.

    ``next_credential_hash`` is a rotated credential that the device has not used yet. ``running_*``
    is what the device last proved to run, never what it was told to.
    """

    __tablename__ = "devices"

    device_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    shop: Mapped[str] = mapped_column(String(200), default="")
    credential_hash: Mapped[str] = mapped_column(String(64), default="")
    enrolled_at: Mapped[str] = mapped_column(String(32))
    last_seen_at: Mapped[str] = mapped_column(String(32), default="")
    clock_skew_s: Mapped[int] = mapped_column(BigInteger, default=0)
    """Server's clock minus the device's when it last sent something."""
    runtime_version: Mapped[str] = mapped_column(String(200), default="")
    pack: Mapped[str] = mapped_column(String(200), default="")
    next_credential_hash: Mapped[str] = mapped_column(String(64), default="")
    ring: Mapped[str] = mapped_column(String(64), default="")
    running_name: Mapped[str] = mapped_column(String(64), default="")
    running_version: Mapped[str] = mapped_column(String(64), default="")
    running_sha256: Mapped[str] = mapped_column(String(64), default="")
    proved_at: Mapped[str] = mapped_column(String(32), default="")


class Operator(Base):
    """A person or program that looks after the fleet. ``token_hash`` is empty once revoked."""

    __tablename__ = "operators"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    token_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[str] = mapped_column(String(32))


class AuditEntry(Base):
    """Who changed what, when; written in the transaction of the change itself."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True, autoincrement=True)
    at: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(140))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    detail: Mapped[str] = mapped_column(Text, default="{}")


class Enrolment(Base):
    """A one-time code, by its hash. ``device_id`` limits it to one device."""

    __tablename__ = "enrolments"

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    device_id: Mapped[str] = mapped_column(String(128), default="")
    shop: Mapped[str] = mapped_column(String(200), default="")
    expires_at: Mapped[str] = mapped_column(String(32))
    used_at: Mapped[str] = mapped_column(String(32), default="")
    used_by: Mapped[str] = mapped_column(String(128), default="")


class Stream(Base):
    """How far one journal database of one device has arrived without a gap."""

    __tablename__ = "streams"

    device_id: Mapped[str] = mapped_column(ForeignKey("devices.device_id"), primary_key=True)
    stream: Mapped[str] = mapped_column(String(128), primary_key=True)
    contiguous: Mapped[int] = mapped_column(BigInteger, default=0)


class StoredRecord(Base):
    """Every number that is accounted for, once. A poisoned record keeps its ``problem``."""

    __tablename__ = "records"

    device_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    stream: Mapped[str] = mapped_column(String(128), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[str] = mapped_column(String(40))
    received_at: Mapped[str] = mapped_column(String(32))
    digest: Mapped[str] = mapped_column(String(64))
    payload: Mapped[str] = mapped_column(Text)
    problem: Mapped[str] = mapped_column(String(200), default="")

    __table_args__ = (Index("records_by_kind", "kind", "received_at"),)


class TurnMetric(Base):
    """One turn's figures, for the reports."""

    __tablename__ = "turn_metrics"

    device_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    stream: Mapped[str] = mapped_column(String(128), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    session: Mapped[str] = mapped_column(String(128))
    started_at: Mapped[str] = mapped_column(String(32))
    language: Mapped[str] = mapped_column(String(200))
    intent: Mapped[str] = mapped_column(String(200))
    decision: Mapped[str] = mapped_column(String(200))
    outcome: Mapped[str] = mapped_column(String(200))
    first_token_ms: Mapped[float | None]
    total_ms: Mapped[float | None]
    blocked_count: Mapped[int] = mapped_column(BigInteger, default=0)
    runtime_version: Mapped[str] = mapped_column(String(200))
    pack: Mapped[str] = mapped_column(String(200), default="")

    __table_args__ = (Index("turn_metrics_by_time", "device_id", "started_at"),)


class Unanswered(Base):
    """A turn that got no answer; its text stays in the record alone."""

    __tablename__ = "unanswered"

    device_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    stream: Mapped[str] = mapped_column(String(128), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    started_at: Mapped[str] = mapped_column(String(32))

    __table_args__ = (Index("unanswered_by_time", "started_at"),)


class DayMark(Base):
    """A device's day whose figures are to be counted again, at ``due_at`` or later."""

    __tablename__ = "day_marks"

    device_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    due_at: Mapped[str] = mapped_column(String(32), index=True)


class DayFigures(Base):
    """A device's day by what it ran and which language was spoken; ``ttff`` is a sketch."""

    __tablename__ = "day_figures"

    device_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    version: Mapped[str] = mapped_column(String(200), primary_key=True)
    pack: Mapped[str] = mapped_column(String(200), primary_key=True)
    language: Mapped[str] = mapped_column(String(200), primary_key=True)
    shop: Mapped[str] = mapped_column(String(200))
    turns: Mapped[int] = mapped_column(BigInteger)
    dialogues: Mapped[int] = mapped_column(BigInteger)
    completed: Mapped[int] = mapped_column(BigInteger)
    escalated: Mapped[int] = mapped_column(BigInteger)
    unanswered: Mapped[int] = mapped_column(BigInteger)
    blocked: Mapped[int] = mapped_column(BigInteger)
    ttff: Mapped[str] = mapped_column(Text)
    intents: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("day_figures_by_day", "day"),)


class Alert(Base):
    """Something a person should know, once per subject and day, and its way to the webhook."""

    __tablename__ = "alerts"

    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(260))
    day: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[str] = mapped_column(String(32))
    """When to try the webhook next; empty once delivered or given up."""
    delivered_at: Mapped[str] = mapped_column(String(32), default="")
    last_error: Mapped[str] = mapped_column(String(200), default="")

    __table_args__ = (
        Index("alerts_once", "kind", "subject", "day", unique=True),
        Index("alerts_by_next", "next_at"),
    )


class Release(Base):
    """A published bundle; its id is ``NAME-VERSION``. ``sha256`` is its manifest's, ``cards`` its
    quality cards as JSON, ``target`` its path in the update repository."""

    __tablename__ = "releases"

    id: Mapped[str] = mapped_column(String(140), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    cards: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(String(300))
    created_at: Mapped[str] = mapped_column(String(32))
    created_by: Mapped[str] = mapped_column(String(140))


class Rollout(Base):
    """One decision to offer a release. ``stages`` is JSON; ``state``: running, paused, done,
    cancelled."""

    __tablename__ = "rollouts"

    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True, autoincrement=True)
    release_id: Mapped[str] = mapped_column(ForeignKey("releases.id"))
    stages: Mapped[str] = mapped_column(Text)
    stage: Mapped[int] = mapped_column(Integer, default=0)
    stage_since: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), default="running")
    reason: Mapped[str] = mapped_column(String(500), default="")
    judged_from: Mapped[str] = mapped_column(String(32))
    """Errors before this moment were accepted by whoever resumed the rollout."""
    rule: Mapped[str] = mapped_column(Text)
    created_at: Mapped[str] = mapped_column(String(32))
    created_by: Mapped[str] = mapped_column(String(140))

    __table_args__ = (Index("rollouts_by_state", "state"),)


class DeviceUpdate(Base):
    """How one device fares with one rollout."""

    __tablename__ = "device_updates"

    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollouts.id"), primary_key=True)
    device_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    offered_at: Mapped[str] = mapped_column(String(32))
    updated_at: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(500), default="")
    evidence: Mapped[str] = mapped_column(Text, default="{}")

    __table_args__ = (Index("device_updates_by_device", "device_id"),)


class Handoff(Base):
    """A customer who asked for a person. ``status``: open, taken or closed."""

    __tablename__ = "handoffs"

    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True, autoincrement=True)
    device_id: Mapped[str] = mapped_column(String(128))
    stream: Mapped[str] = mapped_column(String(128))
    seq: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[str] = mapped_column(String(32))
    received_at: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16), default="open")
    updated_at: Mapped[str] = mapped_column(String(32), default="")
    payload: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        Index("handoffs_by_record", "device_id", "stream", "seq", unique=True),
        Index("handoffs_by_status", "status", "id"),
    )


class Erasure(Base):
    """A person erased, and the receipt for it. Receipts form a chain: ``previous`` is unique."""

    __tablename__ = "erasures"

    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True, autoincrement=True)
    at: Mapped[str] = mapped_column(String(32))
    device_id: Mapped[str] = mapped_column(String(128))
    """Whose records; empty for every device's."""
    pseudonyms: Mapped[str] = mapped_column(Text)
    request: Mapped[str] = mapped_column(String(64))
    """sha256 of who asked and of their own receipt: asking twice erases once."""
    previous: Mapped[str] = mapped_column(String(64))
    receipt: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))

    __table_args__ = (
        Index("erasures_by_request", "request", unique=True),
        Index("erasures_in_a_chain", "previous", unique=True),
    )
