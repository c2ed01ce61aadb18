"""What a device asks of a bundle beyond what its publisher did, and when it may download."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from device_kit import Works, sha

from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.config import load_update_settings
from edge_runtime.errors import ConfigError


def tried(folder: Path, bars: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the trial finds wrong with a bundle whose card measured accuracy 0.92."""
    works = Works(folder / "works")
    card = QualityCard("0" * 64, "held out", {"accuracy": 0.92}, {"accuracy": Bar(0.9)})
    data = card.to_json()
    slot = folder / "slot"
    (slot / "files" / "cards").mkdir(parents=True)
    (slot / "files" / "cards" / "all.json").write_bytes(data)
    manifest = works.manifest("1", {"cards/all.json": data})
    assert manifest.components[0].sha256 == sha(data)
    (slot / "manifest.json").write_bytes(manifest.to_json())
    monkeypatch.setenv("EDGE_UPDATES_BARS", json.dumps(bars))
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime.commands.trybundle", str(slot), "lite"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    problem: str = json.loads(done.stdout)["problem"]
    return problem


@pytest.mark.parametrize(
    ("bars", "problem"),
    [
        ({}, ""),
        ({"accuracy": {"at_least": 0.91}}, ""),
        ({"accuracy": {"at_least": 0.95}}, "this device's bars"),
        ({"accuracy": {"at_most": 0.5}}, "this device's bars"),
        ({"recall": {"at_least": 0.1}}, "No card of it measures recall"),
    ],
)
def test_a_bundle_meets_the_bars_of_this_device_or_is_refused_here(
    bars: dict[str, object], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tried(tmp_path, bars, monkeypatch)
    assert problem in found if problem else not found


@pytest.mark.parametrize("bar", [{}, {"at_least": 1, "at_most": 2}, {"at_lest": 1}, 0.9])
def test_a_bar_that_bounds_nothing_or_twice_is_a_wrong_setting(
    bar: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_UPDATES_BARS", json.dumps({"accuracy": bar}))
    with pytest.raises(ConfigError):
        load_update_settings()
