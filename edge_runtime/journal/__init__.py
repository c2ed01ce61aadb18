"""The journal room: finished turns, session states and the redacted outbox, on this device."""

from edge_runtime.journal.completion import Dialogue, Step, dialogues
from edge_runtime.journal.identity import write_private
from edge_runtime.journal.journal import Journal
from edge_runtime.journal.outbox import Outbox
from edge_runtime.journal.records import (
    JournalStats,
    OutboxCounts,
    OutboxRecord,
    Pruned,
    Retention,
    TurnRecord,
)
from edge_runtime.journal.redact import RedactionPolicy, Redactor

__all__ = [
    "Dialogue",
    "Journal",
    "JournalStats",
    "Outbox",
    "OutboxCounts",
    "OutboxRecord",
    "Pruned",
    "RedactionPolicy",
    "Redactor",
    "Retention",
    "Step",
    "TurnRecord",
    "dialogues",
    "write_private",
]
