"""The journal room: finished turns, session states and the redacted outbox, on this device."""

from edge_runtime.journal.completion import Dialogue, Step, dialogues
from edge_runtime.journal.identity import adopt_key, write_private
from edge_runtime.journal.journal import Journal
from edge_runtime.journal.opening import open_journal
from edge_runtime.journal.outbox import Outbox
from edge_runtime.journal.persons import Erasure, Persons
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
    "Erasure",
    "Journal",
    "JournalStats",
    "Outbox",
    "OutboxCounts",
    "OutboxRecord",
    "Persons",
    "Pruned",
    "RedactionPolicy",
    "Redactor",
    "Retention",
    "Step",
    "TurnRecord",
    "adopt_key",
    "dialogues",
    "open_journal",
    "write_private",
]
