"""Turns that the server exports are lines to train on: from one command to the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from central.central_kit import fleet_on, said
from converter_kit import labelled
from encoder_kit import tiny_device
from typer.testing import CliRunner

from converters.cli import app as edge_convert
from sync.central.cli import app as edge_central
from sync.central.database import Database
from sync.protocol.records import Record

pytestmark = pytest.mark.xdist_group("nlu training")


def turns() -> list[Record]:
    """What a device sent of what customers said, as it understood them."""
    return [
        said(
            *(number, number),
            text=row["text"],
            language="en",
            intent=row["intent"],
            sentiment=row["sentiment"],
            entities=[{"type": "garment", "text": "coat"}] if "coat" in row["text"] else [],
        )
        for number, row in enumerate(labelled(), 1)
    ]


def test_exported_turns_train_the_heads_of_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'central.db'}"
    with fleet_on(Database(url), tmp_path / "objects") as fleet:
        fleet.enrol("till-1")
        assert fleet.send("till-1", turns()).is_success
    monkeypatch.setenv("EDGE_CENTRAL_DATABASE_URL", url)
    shop = tmp_path / "shop"
    into = ("--out", str(shop / "train.jsonl"), "--data-dir", str(tmp_path), "--json")
    exported = CliRunner().invoke(edge_central, ["export", "--since", "2026-01-01", *into])
    assert exported.exit_code == 0, exported.output
    assert json.loads(exported.stdout)["lines"] == len(turns())

    device = tiny_device(tmp_path / "device")
    monkeypatch.setattr("converters.commands.understanding.whole_encoder", lambda _: device.source)
    out = tmp_path / "nlu"
    how = ("--base", str(tmp_path / "device" / "base"), "--epochs", "1", "--rounds", "1")
    trained = CliRunner().invoke(
        edge_convert,
        ["train-nlu", "--data", str(shop), "--out", str(out), *how, "--threads", "1", "--json"],
    )
    assert trained.exit_code == 0, trained.output
    told = json.loads(trained.stdout)
    assert told["dataset"].startswith("every tenth line of train.jsonl")
    assert told["metrics"]["rows"] > 5
    labels = json.loads((out / "files" / "labels.json").read_text())
    assert labels["intents"] == ["opening_hours", "order_status", "out_of_scope", "refund"]
    assert labels["sentiments"] == ["negative", "neutral"]
    assert labels["tags"] == ["O", "B-garment", "I-garment"]
