"""Opens the journal of this device the way its shop has set it."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.config import load_privacy_settings
from edge_runtime.journal.journal import Journal
from edge_runtime.journal.redact import RedactionPolicy


def open_journal(data_dir: Path) -> Journal:
    """The journal in the device's data folder; what it masks is what the settings say.

    Raises:
        ConfigError: a setting is wrong.
        StorageError: the journal cannot be written, or is damaged while another process uses it.
    """
    policy = RedactionPolicy(order_numbers=load_privacy_settings().mask_order_numbers)
    return Journal.open(data_dir / "journal.db", policy=policy)
