"""What the journal keeps and what it hands to the uplink: frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

RecordKind = Literal["escalation", "audit", "turn", "metric", "dropped"]

PRIORITY: Mapping[str, int] = {"dropped": 0, "escalation": 1, "audit": 2, "turn": 3, "metric": 4}
"""Upload order. Notices of dropped records come first: they are tiny and close gaps."""

DROP_ORDER: tuple[str, ...] = ("metric", "turn", "audit", "escalation")
"""What a device that runs out of room gives up first. Notices are never given up."""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One finished turn as the journal keeps it.

    ``started_at`` is UTC, ISO 8601. ``entities`` holds JSON-able mappings with at least ``type``
    and ``value``. ``timings_ms`` maps a stage to milliseconds; ``first_token`` and ``total`` count
    from the end of the customer's input. ``models`` maps a stage to its model's id or hash.
    ``outcome`` is "done", "cancelled" (barge-in) or "failed" (``error`` says why). ``memory_mb`` is
    what the process held when the turn ended, 0 where unknown.
    """

    turn_id: str
    session: str
    started_at: str
    language: str
    source: str
    text: str
    user: str = ""
    transcript: str = ""
    ocr_text: str = ""
    normalized: str = ""
    intent: str = ""
    intent_confidence: float = 0.0
    sentiment: str = "neutral"
    entities: tuple[Mapping[str, Any], ...] = ()
    confidence: float = 0.0
    decision: str = ""
    reason: str = ""
    reply: str = ""
    sources: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    runtime_version: str = ""
    pack: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    outcome: str = "done"
    error: str = ""
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """One record waiting to leave the device; ``payload`` is JSON text, already redacted."""

    seq: int
    kind: str
    created_at: str
    payload: str


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """What waits, what was given up. ``pending`` and ``pending_bytes`` are per kind."""

    pending: Mapping[str, int]
    pending_bytes: Mapping[str, int]
    dropped: Mapping[str, int]
    quarantined: int
    highest_seq: int


@dataclass(frozen=True, slots=True)
class JournalStats:
    """Figures over a stretch of turns; rates are ``None`` while there is nothing to divide by.

    ``completion_rate`` is over closed dialogues, as :mod:`edge_runtime.journal.completion`
    defines them; ``escalation_rate`` is the share of closed dialogues handed to a person.
    """

    turns: int
    sessions: int
    dialogues: int
    completion_rate: float | None
    escalation_rate: float | None
    decisions: Mapping[str, int]
    outcomes: Mapping[str, int]
    median_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long and how much the device keeps.

    ``days`` bound turns and session states, ``quarantine_days`` what was set aside. ``keep_turns``
    newest turns survive any age limit, so that a clock that jumped forward cannot empty the
    journal; waiting records have no age limit for the same reason. ``caps`` bound the waiting
    records of each kind and ``total`` all of them together, in bytes of payload; what is over is
    given up in the order of :data:`DROP_ORDER`, oldest first.
    """

    days: int = 30
    quarantine_days: int = 90
    keep_turns: int = 200
    max_turns: int = 200_000
    total: int = 320 * 2**20
    caps: Mapping[str, int] = field(
        default_factory=lambda: {
            "metric": 32 * 2**20,
            "turn": 256 * 2**20,
            "audit": 16 * 2**20,
            "escalation": 64 * 2**20,
        }
    )


@dataclass(frozen=True, slots=True)
class Pruned:
    """What :meth:`Journal.prune` removed."""

    turns: int
    sessions: int
    dropped: Mapping[str, int]
