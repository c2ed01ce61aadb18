"""``edge-sync metrics``: this device's state in Prometheus' text format.

Written to a file for a collector that is there already (node_exporter's textfile collector), so
that the device opens no port.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.bundles.crashes import crashes
from edge_runtime.commands.console import reported
from edge_runtime.config import load_settings
from edge_runtime.files import write_atomic
from edge_runtime.journal import Journal
from edge_runtime.journal.figures import figures
from sync.commands.opening import DataDir, journal_of
from sync.contact import Contact, read_contact
from sync.updater.home import UpdateHome

_RECENT = 500


def metrics(
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File for a collector (.prom); else printed.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Show queue, losses, last contact, bundle and figures in Prometheus' text format."""
    with reported(as_json=False):
        settings = load_settings(data_dir=data_dir)
        with journal_of(settings) as journal:
            contact = read_contact(settings.data_dir)
            text = exposition(journal, UpdateHome(settings), contact)
        if out_file is None:
            sys.stdout.write(text)
        else:
            with storage_errors(out_file):
                write_atomic(out_file, text.encode())


def exposition(journal: Journal, home: UpdateHome, contact: Contact) -> str:
    """The device's figures now.

    Raises:
        ModelCorruptError: the note of the running bundle is damaged.
        StorageError: the disk cannot be read.
    """
    counts, running = journal.outbox.counts(), home.running
    bundle = (
        {"": 0}
        if running is None
        else {_labels(bundle=running.bundle, version=running.version, sha256=running.manifest): 1}
    )
    on_trial = running is not None and home.slots.state.on_trial
    lines = [
        *_series("queue_records", "gauge", "Records that wait.", _kinds(counts.pending)),
        *_series("queue_bytes", "gauge", "Bytes that wait.", _kinds(counts.pending_bytes)),
        *_series("given_up_records_total", "counter", "Records given up to stay within the caps.",
                 _kinds(counts.dropped)),
        *_series("set_aside_records", "gauge", "Records the server set aside.",
                 {"": counts.quarantined}),
        *_series("records_total", "counter", "Records made.", {"": counts.highest_seq}),
        *_series("last_contact_timestamp_seconds", "gauge",
                 "When the server last answered as it should; 0 for never.", {"": contact.heard}),
        *_series("last_push_timestamp_seconds", "gauge",
                 "When the server last acknowledged records; 0 for never.",
                 {"": contact.delivered}),
        *_series("bundle_running", "gauge", "The bundle that runs; 0 for the device's own models.",
                 bundle),
        *_series("bundle_on_trial", "gauge", "Whether it is in its probation.",
                 {"": int(on_trial)}),
        *_series("serving_crashes", "gauge", "Processes that served a bundle and crashed, as kept.",
                 {"": len(crashes(home.slots.root))}),
        *_recent(journal),
    ]  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def _recent(journal: Journal) -> Iterator[str]:
    """How the newest turns went, a bounded number of them whatever the journal holds."""
    newest = journal.turns_since(max(journal.newest - _RECENT, 0), limit=_RECENT)
    found = figures((turn for _, turn in newest), datetime.now(UTC))
    over = f"over the newest {_RECENT} turns"
    first = found.median_ms.get("first_token")
    for name, meaning, value in (
        ("turns", f"Turns, {over}.", found.turns),
        ("dialogues", f"Closed dialogues, {over}.", found.dialogues),
        ("completion_ratio", f"Share of them completed, {over}.", found.completion_rate),
        ("escalation_ratio", f"Share of them handed to a person, {over}.", found.escalation_rate),
        ("first_token_ms", f"Median milliseconds to the first words, {over}.", first),
    ):
        if value is not None:
            yield from _series(f"recent_{name}", "gauge", meaning, {"": value})


def _series(name: str, kind: str, meaning: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP edge_sync_{name} {meaning}"
    yield f"# TYPE edge_sync_{name} {kind}"
    for labels, value in sorted(values.items()):
        yield f"edge_sync_{name}{labels} {value}"


def _kinds(values: Mapping[str, int]) -> dict[str, int]:
    return {_labels(kind=kind): value for kind, value in values.items()}


def _labels(**labels: str) -> str:
    """Kinds, names, versions and hashes hold nothing that would need escaping."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: edge-sync metrics --out /var/lib/node_exporter/edge.prom")(metrics)
