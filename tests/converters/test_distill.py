"""Distillation: the student comes nearer, a kill costs little, other vocabularies are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chain_kit import conversations, taught_lm
from converter_kit import lines, names
from lm_kit import tiny_lm
from tuning_kit import loss_told
from typer.testing import CliRunner

from converters import children
from converters.cli import app
from converters.distill.conversations import read_conversations
from converters.distill.distilling import Distilled, distill
from converters.distill.settings import DistillSettings
from converters.distill.vocabulary import difference
from converters.errors import ConversionError, DatasetError, ModelFileError, OptionError
from edge_runtime.errors import StorageError

pytestmark = pytest.mark.usefixtures("_steps_here")
SETTINGS = DistillSettings(
    epochs=4, on_policy_steps=4, rank=0, learning_rate=5e-3, max_length=64, max_reply=24
)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught_lm(tmp_path_factory.mktemp("teacher") / "lm")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm(tmp_path_factory.mktemp("student") / "lm", seed=1)


@pytest.fixture(scope="module")
def distilled(
    teacher: Path, student: Path, talk: Path, tmp_path_factory: pytest.TempPathFactory
) -> Distilled:
    """Made by a run that was stopped after every step it takes."""
    out = tmp_path_factory.mktemp("out") / "small"
    stops = iter(["converters.distill.teacher_torch", "converters.distill.fit"])
    whole = children.run_module

    for stop in stops:

        def stopped(module: str, *args: object, stop: str = stop, **kwargs: object) -> str:
            said = whole(module, *args, **kwargs)  # type: ignore[arg-type]
            if module == stop:
                raise KeyboardInterrupt
            return said

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("converters.distill.replies.run_module", stopped)
            patch.setattr("converters.distill.distilling.run_module", stopped)
            distill(teacher, student, talk, out, SETTINGS, threads=1)
        assert not out.exists()
    ran: list[str] = []
    told: list[tuple[Any, ...]] = []

    def counted(module: str, *args: object, **kwargs: object) -> str:
        ran.append(module)
        return whole(module, *args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("converters.distill.replies.run_module", counted)
        patch.setattr("converters.distill.distilling.run_module", counted)
        made = distill(
            *(teacher, student, talk, out, SETTINGS),
            threads=1,
            progress=lambda *say: told.append(say),
        )
    assert loss_told(told, "learning from its own replies")
    # The replies and the first part of the training were kept.
    assert ran == ["converters.distill.fit"]
    return made


def test_the_student_comes_nearer_to_the_teacher(distilled: Distilled) -> None:
    untrained, imitated, guided = distilled.table
    assert untrained.stage == "untrained"
    assert imitated.mean_kl < untrained.mean_kl / 2
    assert guided.mean_kl < imitated.mean_kl * 1.1
    assert imitated.top1_agreement > untrained.top1_agreement + 0.3
    assert imitated.perplexity < untrained.perplexity


def test_what_is_made_is_a_whole_checkpoint_with_its_story(
    distilled: Distilled, teacher: Path
) -> None:
    made = ["distilled.json", "losses.png", "replies.jsonl", "student"]
    assert names(distilled.path) == made
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(names(distilled.student))
    told = json.loads((distilled.path / "distilled.json").read_text())
    assert [row["stage"] for row in told["table"]] == [row.stage for row in distilled.table]
    replies = (distilled.path / "replies.jsonl").read_text().splitlines()
    assert len(replies) == distilled.replies
    first = json.loads(replies[0])
    assert first["provenance"]["teacher"] == told["teacher"]
    assert first["provenance"]["prompt"] == "talk.jsonl:1"
    assert first["messages"][-1]["role"] == "assistant"
    assert (distilled.path / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_exists_is_left_alone(
    distilled: Distilled, teacher: Path, student: Path, talk: Path
) -> None:
    with pytest.raises(OptionError, match="exists already"):
        distill(teacher, student, talk, distilled.path, SETTINGS)


def test_other_vocabularies_are_refused_before_the_teacher_says_a_word(
    teacher: Path, student: Path, talk: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(student, tmp_path / "other"))
    document = json.loads((other / "tokenizer.json").read_text())
    pieces = document["model"]["vocab"]
    first, second = sorted(pieces)[:2]
    pieces[first], pieces[second] = pieces[second], pieces[first]
    (other / "tokenizer.json").write_text(json.dumps(document))
    assert difference(student, student) == ""
    assert "is not the same token in both" in difference(student, other)
    with pytest.raises(ModelFileError, match="different vocabularies"):
        distill(teacher, other, talk, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("unsafe", ["teacher", "student"])
def test_a_pickled_model_is_refused(
    teacher: Path, student: Path, talk: Path, tmp_path: Path, unsafe: str
) -> None:
    models = {"teacher": teacher, "student": student}
    copy = Path(shutil.copytree(models[unsafe], tmp_path / "lm"))
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    models[unsafe] = copy
    with pytest.raises(ModelFileError, match="a pickle"):
        distill(models["teacher"], models["student"], talk, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_a_teacher_that_never_ends_a_reply_is_named(
    student: Path, talk: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match="finished none of its 32 replies within 1 tokens"):
        distill(student, student, talk, tmp_path / "out", replace(SETTINGS, max_reply=1))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "hello"}', "no 'messages'"),
        ('{"messages": []}', "no 'messages'"),
        ('{"messages": [{"role": "user"}]}', "no 'content'"),
        ('{"messages": [{"role": "boss", "content": "x"}]}', "no proper 'role'"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "Nobody asks"),
        ("[1]", "no 'messages'"),
        ("{", "not JSON"),
    ],
)
def test_a_broken_conversation_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    path = lines(tmp_path / "talk.jsonl", list(conversations())[:2])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DatasetError, match=said) as caught:
        read_conversations(path)
    assert caught.value.line == 3


def test_impossible_settings_are_refused() -> None:
    for change in ({"epochs": -1}, {"beta": 2.0}, {"epochs": 0, "on_policy_steps": 0}):
        with pytest.raises(OptionError):
            replace(SETTINGS, **change)  # type: ignore[arg-type]


def test_a_full_disk_is_one_sentence(
    teacher: Path, student: Path, talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, needed: int) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr("converters.distill.distilling.require_space", full)
    monkeypatch.setattr(
        "converters.distill.distilling.collect_replies",
        lambda *args, **kwargs: lines(tmp_path / "replies.jsonl", conversations()),
    )
    with pytest.raises(StorageError, match="disk is full"):
        distill(teacher, student, talk, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_is_wrong_in_json(student: Path, tmp_path: Path) -> None:
    arguments = ["distill", str(student), str(student), "--data", str(tmp_path / "none.jsonl")]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["type"] == "DatasetError"
