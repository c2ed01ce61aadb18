"""What the tests of synth share: the retail pack's lines, made once a session."""

from __future__ import annotations

import json

import pytest
from synth_kit import RETAIL, Made

from converters.synth import SynthSettings, synthesize


@pytest.fixture(scope="session")
def retail(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What synth makes of the retail pack by default, but a little less of it."""
    home = tmp_path_factory.mktemp("synth")
    forbidden = home / "test.jsonl"
    forbidden.write_text(json.dumps({"text": "Where is my order?"}) + "\n")
    out = home / "lines"
    report = synthesize(RETAIL, out, SynthSettings(lines=13_000), exclude=[forbidden]).report
    return Made(out, report)
