"""The server's tables. Times are UTC, ISO 8601 text of fixed width, so that they sort."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

QUARANTINED = "quarantined"


class Base(DeclarativeBase):
    """Base of every table."""


class Device(Base):
    """A device that enrolled. ``credential_hash`` is empty once revoked."""

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

    __table_args__ = (Index("turn_metrics_by_time", "device_id", "started_at"),)


class Handoff(Base):
    """A customer who asked for a person. ``status``: open, taken or closed."""

    __tablename__ = "handoffs"

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
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

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
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


def utc(moment: datetime) -> str:
    """The one form in which times are kept."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
