"""``edge-sync metrics`` as a collector reads it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from sync_kit import turn
from typer.testing import CliRunner

from edge_runtime.config import Settings
from edge_runtime.journal import Journal
from sync.cli import app
from sync.commands.metrics import exposition
from sync.contact import Contact
from sync.updater.home import UpdateHome
from sync.updater.release import Release

RUN = CliRunner()
Found = dict[tuple[str, str], float]


def parsed(text: str) -> Found:
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_collector_reads_queue_and_bundle_from_the_file(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path / "journal.db")) as journal:
        for number in range(3):
            journal.record(turn(number), state_json=None)
    file = tmp_path / "edge.prom"
    result = RUN.invoke(app, ["metrics", "--out", str(file), "--data-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = parsed(file.read_text())
    assert found["edge_sync_queue_records", "turn"] == 3
    assert found["edge_sync_queue_bytes", "metric"] > 0
    assert found["edge_sync_records_total", ""] == 6
    assert found["edge_sync_set_aside_records", ""] == 0
    assert found["edge_sync_last_contact_timestamp_seconds", ""] == 0
    assert found["edge_sync_last_push_timestamp_seconds", ""] == 0
    assert found["edge_sync_bundle_running", ""] == 0
    assert found["edge_sync_bundle_on_trial", ""] == 0
    assert found["edge_sync_serving_crashes", ""] == 0
    assert found["edge_sync_recent_turns", ""] == 3
    assert found["edge_sync_recent_dialogues", ""] == 1
    assert found["edge_sync_recent_completion_ratio", ""] == 1
    assert found["edge_sync_recent_escalation_ratio", ""] == 0
    assert found["edge_sync_recent_first_token_ms", ""] == 20


def test_a_till_without_customers_has_no_rates(tmp_path: Path) -> None:
    home = UpdateHome(Settings(data_dir=tmp_path, models_dir=tmp_path / "models"))
    with closing(Journal.open(tmp_path / "journal.db")) as journal:
        found = parsed(exposition(journal, home, Contact()))
    assert found["edge_sync_recent_turns", ""] == 0
    assert ("edge_sync_recent_completion_ratio", "") not in found


def test_the_running_bundle_is_named(tmp_path: Path) -> None:
    class Home(UpdateHome):
        running = Release("retail", "1.2.0", "a" * 64, 3)  # type: ignore[assignment]

    home = Home(Settings(data_dir=tmp_path, models_dir=tmp_path / "models"))
    with closing(Journal.open(tmp_path / "journal.db")) as journal:
        text = exposition(journal, home, Contact(heard=20, delivered=10))
    labels = f'bundle="retail",version="1.2.0",sha256="{"a" * 64}"'
    assert f"edge_sync_bundle_running{{{labels}}} 1\n" in text
    assert parsed(text)["edge_sync_bundle_running", "retail"] == 1
    assert parsed(text)["edge_sync_last_contact_timestamp_seconds", ""] == 20
    assert parsed(text)["edge_sync_last_push_timestamp_seconds", ""] == 10
