"""The whole chain on a model of a megabyte: killed, damaged, refused, and the same twice."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chain_kit import conversations, taught_lm
from converter_kit import ModelFiles, labelled, lines, names
from gguf_kit import wheel_or_skip
from lm_kit import tiny_lm
from tuning_kit import ENVIRONMENT, PROGRAM
from typer.testing import CliRunner

from converters.cli import app

RECIPE = """
[recipe]
name = "tiny"
version = "1.0.0"
pack = "retail"
threads = 1

[train]
base = "base"
data = "talk.jsonl"
steps = 4
batch = 4
max_length = 64

[merge]
adapter_gguf = true

[distill]
student = "small"
epochs = 1
on_policy_steps = 0
rank = 0
learning_rate = 5e-3
max_length = 64
max_reply = 24

[quantize]
types = ["Q8_0"]

[evaluate]
data = "held.jsonl"
max_tokens = 256
replies = 0

[bars.Q8_0]
mean_kl = 0.05
top1_agreement = 0.9

[bundle.profiles]
lite = ["Q8_0"]
standard = ["Q8_0"]
"""
STAGES = ["train", "merge", "distill", "quantize", "evaluate", "bundle"]


# One worker runs them all: they share a chain that takes a minute to make.
pytestmark = pytest.mark.xdist_group("whole chain")


@dataclass(frozen=True)
class Shop:
    """A folder with a recipe and what it needs."""

    home: Path

    def write(self, *changes: tuple[str, str]) -> None:
        text = RECIPE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (self.home / "tiny.toml").write_text(text)

    def run(self, work: str, *more: str, limit: int = 0) -> tuple[int, Any]:
        """Run to the end; ``limit`` is the largest file that may be written, in bytes."""

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        done = subprocess.run(
            self._command(work, *more),
            cwd=self.home,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=limited if limit else None,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)

    def interrupt(self, work: str, stage: str, there: str, how: signal.Signals) -> int:
        """Start, and send ``how`` as soon as ``there`` is in the folder that ``stage`` works in;
        returns the exit code."""
        folder = self.home / work / f".{stage}.partial"
        with subprocess.Popen(
            self._command(work),
            cwd=self.home,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while process.poll() is None:
                if any(folder.glob(there)):
                    process.send_signal(how)
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
        return process.returncode

    def _command(self, work: str, *more: str) -> list[str]:
        return [PROGRAM, "run", "tiny.toml", "--work", work, "--json", *more]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    wheel_or_skip()
    home = tmp_path_factory.mktemp("shop")
    taught_lm(home / "base")
    tiny_lm(home / "small", seed=1)
    rows = list(conversations())
    lines(home / "talk.jsonl", rows)
    lines(home / "held.jsonl", rows * 4)
    made = Shop(home)
    made.write()
    return made


@pytest.fixture(scope="module")
def made(shop: Shop) -> Any:
    """What a run says that was killed in one stage, stopped in the next, and let go on."""
    killed = shop.interrupt("w", "train", "**/checkpoint-*", signal.SIGKILL)
    assert killed == -signal.SIGKILL
    assert not (shop.home / "w" / "train").exists()
    stopped = shop.interrupt("w", "distill", "**/replies.jsonl", signal.SIGINT)
    assert stopped == 130
    assert names(shop.home / "w" / "merge") == [".stage.json", "adapter.gguf", "model"]
    assert not (shop.home / "w" / "distill").exists()
    code, told = shop.run("w")
    assert code == 0, told
    return told


def actions(told: Any) -> dict[str, str]:
    return {stage["stage"]: stage["action"] for stage in told["stages"]}


def digests(told: Any) -> dict[str, str]:
    return {bundle["profile"]: bundle["digest"] for bundle in told["bundles"]}


def test_what_was_killed_and_stopped_goes_on(made: Any) -> None:
    assert list(actions(made)) == STAGES
    assert actions(made)["train"] == actions(made)["merge"] == "keep"
    assert actions(made)["distill"] == "resume"
    assert actions(made)["quantize"] == "run"


def test_every_profile_gets_a_bundle_and_every_card_its_verdict(made: Any, shop: Shop) -> None:
    assert set(digests(made)) == {"lite", "standard"}
    assert all(len(digest) == 64 for digest in digests(made).values())
    assert [(card["name"], card["cleared"]) for card in made["cards"]] == [("Q8_0", True)]
    for bundle in made["bundles"]:
        manifest = json.loads((shop.home / "w" / "bundle" / bundle["manifest"]).read_bytes())
        names = [component["name"] for component in manifest["components"]]
        assert "tiny.Q8_0.gguf" in names
        assert "pack/retail/pack.toml" in names
        assert manifest["profiles"] == [bundle["profile"]]


def test_a_second_run_does_nothing(made: Any, shop: Shop) -> None:
    code, told = shop.run("w")
    assert code == 0
    assert set(actions(told).values()) == {"keep"}
    assert digests(told) == digests(made)


def test_another_folder_gives_the_same_bundles(made: Any, shop: Shop) -> None:
    code, told = shop.run("elsewhere/work")
    assert code == 0
    assert set(actions(told).values()) == {"run"}
    assert digests(told) == digests(made)


def test_a_damaged_intermediate_is_made_again_and_nothing_else(made: Any, shop: Shop) -> None:
    weights = next((shop.home / "w" / "merge").rglob("model.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    code, told = shop.run("w")
    assert code == 0
    assert actions(told).pop("merge") == "run"
    assert [name for name, action in actions(told).items() if action != "keep"] == ["merge"]
    assert "changed or damaged" in told["stages"][1]["reason"]
    assert digests(told) == digests(made)


def test_a_missed_bar_refuses_the_bundle_and_is_named(made: Any, shop: Shop) -> None:
    shop.write(("top1_agreement = 0.9", "top1_agreement = 1.5"))
    try:
        code, told = shop.run("w")
    finally:
        shop.write()
    assert code == 8
    assert actions(told)["evaluate"] == "keep"
    assert "top1_agreement" in told["cards"][0]["misses"][0]
    assert all("Q8_0: top1_agreement is" in b["refused"][0] for b in told["bundles"])
    assert not (shop.home / "w" / "bundle" / "store" / "bundles").exists()
    code, told = shop.run("w")
    assert (code, digests(told)) == (0, digests(made))


def test_a_full_disk_leaves_nothing_half_written(made: Any, shop: Shop) -> None:
    before = (shop.home / "w" / "quantize" / "tiny.Q8_0.gguf").read_bytes()
    code, told = shop.run("w", "--from", "quantize", limit=40_000)
    assert code in (4, 5)
    assert told["error"]["message"].count("\n") == 0
    assert (shop.home / "w" / "quantize" / "tiny.Q8_0.gguf").read_bytes() == before
    code, told = shop.run("w", "--from", "quantize")
    assert (code, digests(told)) == (0, digests(made))


def test_a_line_without_text_is_named_and_costs_nothing_finished(made: Any, shop: Shop) -> None:
    good = (shop.home / "talk.jsonl").read_text()
    (shop.home / "talk.jsonl").write_text(f'{good}{{"text": "hello"}}\n')
    try:
        code, told = shop.run("w")
    finally:
        (shop.home / "talk.jsonl").write_text(good)
    assert code == 2
    assert told["error"]["type"] == "DatasetError"
    assert f"talk.jsonl:{good.count(chr(10)) + 1}: " in told["error"]["message"]
    assert "messages" in told["error"]["message"]
    code, told = shop.run("w")
    assert set(actions(told).values()) == {"keep"}


NLU = """
[recipe]
name = "words"
version = "1.0.0"

[train-nlu]
data = "labelled"

[bars.nlu]
in_scope_accuracy = 0.5

[bundle.profiles]
lite = ["nlu"]
"""


@pytest.mark.models
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"text": "when", "intent": "opening_huors"}, "Did you mean 'opening_hours'?"),
        ({"intent": "refund"}, "The line has no 'text'."),
        ({"text": "give it back"}, "The line has no 'intent'."),
    ],
)
def test_a_broken_label_is_named_before_anything_is_learnt(
    model_files: ModelFiles, tmp_path: Path, line: dict[str, str], said: str
) -> None:
    model_files("multilingual-e5-small-q4")
    (tmp_path / "words.toml").write_text(NLU)
    rows = labelled()
    lines(tmp_path / "labelled" / "train.jsonl", [*rows, line])
    work = tmp_path / "w"
    result = CliRunner().invoke(
        app, ["run", str(tmp_path / "words.toml"), "--work", str(work), "--json"]
    )
    assert result.exit_code == 2, result.output
    error = json.loads(result.stdout)["error"]
    assert f"train.jsonl:{len(rows) + 1}: " in error["message"]
    assert said in f"{error['message']} {error['hint']}"
    assert not (work / "train-nlu").exists()
