"""Ctrl-C and a full disk in the stages that train nothing: nothing half-written, the next run
comes to the same. The stages that train have such tests beside their others."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result
from converter_kit import card_for, gguf
from typer.testing import CliRunner

from converters.cli import app
from edge_runtime.bundles.blobs import BlobStore


@dataclass(frozen=True)
class Step:
    """A command, what it makes, what Ctrl-C hits, and how many writes succeed before the disk is
    full."""

    command: tuple[str, ...]
    made: str
    stopped: str
    writes: int


def synth(home: Path) -> Step:
    command = ("synth", "--out", f"{home}/out", "--lines", "60", "--languages", "pt")
    return Step(command, "out/report.json", "converters.synth.synthesizing.make_conversations", 2)


def evaluate(home: Path) -> Step:
    (home / "toy.gguf").write_bytes(gguf())
    (home / "shop.txt").write_text("Goods may be returned.")
    command = ("evaluate", "llm", f"{home}/toy.gguf", "--text", f"{home}/shop.txt")
    card = ("--card", f"{home}/toy.card.json")
    return Step((*command, *card), "toy.card.json", "converters.evaluate.llm.check_text", 0)


def bundle(home: Path) -> Step:
    (home / "toy.gguf").write_bytes(gguf())
    card = card_for(home / "toy.gguf", home / "card.json")
    command = ("bundle", "--name", "shop", "--version", "1", "--out", f"{home}/store")
    parts = ("--component", f"{home}/toy.gguf", "--card", str(card))
    made = "store/bundles/shop/1.json"
    return Step((*command, *parts), made, f"{BlobStore.__module__}.BlobStore.add", 1)


Prepared = Callable[[Path], Step]
STAGES = pytest.mark.parametrize("prepared", [synth, evaluate, bundle])


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*args: object, **kwargs: object) -> dict[str, float]:
        return {"perplexity": 4.0, "tokens": 100.0}

    monkeypatch.setattr("converters.evaluate.llm.run_measure", measured)


def run(step: Step) -> Result:
    return CliRunner().invoke(app, [*step.command, "--json"])


def seen(home: Path) -> list[str]:
    """Files that nobody hid."""
    found = (path.relative_to(home) for path in home.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if not any(p.startswith(".") for p in path.parts))


def comes_to_the_same(step: Step, home: Path, prepared: Prepared, tmp_path: Path) -> None:
    """The interrupted stage, run again, makes what a run that nothing interrupted makes."""
    done = run(step)
    assert done.exit_code == 0, done.output
    (tmp_path / "whole").mkdir()
    assert run(prepared(tmp_path / "whole")).exit_code == 0
    assert seen(home) == seen(tmp_path / "whole")
    assert (home / step.made).read_bytes() == (tmp_path / "whole" / step.made).read_bytes()


@STAGES
def test_ctrl_c_leaves_nothing_half_written(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    step = prepared(home)
    before = seen(home)

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(step.stopped, stop)
        stopped = run(step)
    assert stopped.exit_code == 130
    assert "stopped" in stopped.stderr
    assert seen(home) == before
    comes_to_the_same(step, home, prepared, tmp_path)


@STAGES
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    step = prepared(home)
    left = iter(range(2 * step.writes))
    fsync = os.fsync

    def full(descriptor: int) -> None:
        # A file and then its folder are synced for each that is written.
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused = run(step)
    assert refused.exit_code == 5, refused.output
    error = json.loads(refused.stdout)["error"]
    assert error["type"] == "StorageError"
    assert "\n" not in error["message"]
    assert "full" in error["message"] or "No space left" in error["message"]
    assert not (home / step.made).exists()
    comes_to_the_same(step, home, prepared, tmp_path)
