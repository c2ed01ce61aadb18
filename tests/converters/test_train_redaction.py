"""The reader of names and addresses is trained from lists and ordinary utterances."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path

from typer.testing import CliRunner

from converters.cli import app
from converters.redaction.chinese import ChineseSentences
from converters.redaction.lists import listed_names
from converters.redaction.mixture import endless
from converters.redaction.ordinary import without_names
from converters.redaction.sentences import Sentences, mistyped, prose
from converters.redaction.train import train
from converters.redaction.words import everyday_words
from edge_runtime.journal.tagger import Caution, Tagger

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


def test_reviews_and_ordinary_sentences_name_nobody() -> None:
    made = Sentences(5)
    drawn = [made.draw(kind) for kind in ("reviews", "ordinary") for _ in range(200)]
    chinese = ChineseSentences(random.Random(5), {"衣服": 1.0, "你们": 2.0})
    drawn += [chinese.ordinary(ORDINARY[3:]) for _ in range(200)]
    assert [one for one in drawn if one.spans] == []
    assert [one for one in drawn if "{" in one.text] == []


def test_everyday_words_are_nobodys_name() -> None:
    for language in ("en", "es"):
        words = everyday_words(language)
        assert len(words) > 1_000
        assert listed_names().isdisjoint(words)


def test_a_mistyped_text_keeps_most_of_its_words() -> None:
    chance = random.Random(7)
    text = "please help me to find the blue coat"
    for _ in range(200):
        words = mistyped(text, chance).split(" ")
        changed = [one for one, two in zip(text.split(" "), words, strict=True) if one != two]
        assert len(changed) <= 2
    assert {mistyped(text, chance) for _ in range(20)} != {text}


def test_prose_joins_whole_sentences() -> None:
    chance = random.Random(7)
    drawn = {prose(["where is it", "I want it"], chance) for _ in range(300)}
    assert "where is it" in drawn
    assert "Where is it. I want it." in drawn


def test_utterances_with_a_given_name_are_not_learnt_as_ordinary() -> None:
    assert without_names([*ORDINARY, "call Agnieszka", *ORDINARY]) == ORDINARY


def test_a_short_training_already_tells_a_name_from_a_thing(tmp_path: Path) -> None:
    unsure = Caution(0.0, 0.0, 0.0, 0.0, 0.0)
    train(ORDINARY, sentences=1_500, caution=unsure).save(tmp_path / "table.npz")
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
