"""What tests share, made once a session: the retail pack's lines, a base model and its data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from chain_kit import conversations
from converter_kit import lines
from lm_kit import tiny_lm
from step_kit import steps_in_this_process
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


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model small enough to tune in a test."""
    return tiny_lm(tmp_path_factory.mktemp("base") / "lm")


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations to tune it on."""
    return lines(tmp_path_factory.mktemp("talk") / "talk.jsonl", conversations())


@pytest.fixture(scope="module")
def _steps_here() -> Iterator[None]:
    with steps_in_this_process():
        yield
