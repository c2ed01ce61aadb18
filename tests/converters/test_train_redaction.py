"""The reader of names and addresses is trained from lists and ordinary utterances."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from typer.testing import CliRunner

from converters.cli import app
from converters.redaction.mixture import endless
from converters.redaction.ordinary import without_names
from converters.redaction.train import train
from edge_runtime.journal.tagger import Tagger

RUN = CliRunner()
ORDINARY = [
    "where is my order", "can I return this coat", "what time do you open",
    "我的订单到哪了", "这件外套能退吗", "你们几点开门",
]  # fmt: skip


def test_sentences_carry_the_places_of_their_names() -> None:
    drawn = list(islice(endless(3, ORDINARY), 300))
    assert drawn == list(islice(endless(3, ORDINARY), 300))
    spans = [(one.text, span) for one in drawn for span in one.spans]
    assert {label for _, (_, _, label) in spans} == {"name", "address"}
    for text, (start, end, _) in spans:
        assert text[start:end].strip() == text[start:end] != ""


def test_utterances_with_a_given_name_are_not_learnt_as_ordinary() -> None:
    assert without_names([*ORDINARY, "call Agnieszka", *ORDINARY]) == ORDINARY


def test_a_short_training_already_tells_a_name_from_a_thing(tmp_path: Path) -> None:
    train(ORDINARY, sentences=1_500).save(tmp_path / "table.npz")
    reader = Tagger.load(tmp_path / "table.npz")
    assert [run.label for run in reader.find("I spoke to Michael yesterday")] == ["name"]
    assert list(reader.find("where is my order")) == []
    assert [run.label for run in reader.find("打电话给王晓燕")] == ["name"]
    assert list(reader.find("我的订单到哪了")) == []


def test_the_command_writes_the_same_file_again(tmp_path: Path) -> None:
    lines = tmp_path / "ordinary.jsonl"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in ORDINARY))
    for name in ("one", "two"):
        words = ["train-redaction", "--ordinary", str(lines), "--out", str(tmp_path / name)]
        result = RUN.invoke(app, [*words, "--sentences", "200", "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["ordinary"] == len(ORDINARY)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_nothing_ordinary_to_learn_from_is_refused(tmp_path: Path) -> None:
    lines = tmp_path / "named.jsonl"
    lines.write_text('{"text": "call Agnieszka"}\n')
    words = ["train-redaction", "--ordinary", str(lines), "--out", str(tmp_path / "t"), "--json"]
    result = RUN.invoke(app, words)
    assert result.exit_code == 2
    assert not (tmp_path / "t").exists()
