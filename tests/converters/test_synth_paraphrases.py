"""Rewordings by a language model: only what keeps the sense, the entities and the language."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from converter_kit import gguf
from synth_kit import RETAIL, rows

from converters.distill.replies import answer_all
from converters.synth import SynthSettings, paraphrasing, synthesize
from converters.synth.lines import Line
from converters.synth.paraphrasing import reworded
from converters.synth.pieces import Piece, spans_of, text_of

SETTINGS = SynthSettings(lines=400, languages=("en",), paraphrases=60)


def line(*pieces: Piece) -> Line:
    return Line(pieces, "order_status", "neutral", "en", "template", "phrases/x/en/1", 0)


ASKED = line(Piece("where is my order "), Piece("A1234567", "order_id"), Piece(" please"))


def test_a_rewording_keeps_its_entities_in_place() -> None:
    made, reason = reworded(ASKED, ' "Can you tell me where order A1234567 is?" ')
    assert reason == ""
    assert made is not None
    assert text_of(made) == "Can you tell me where order A1234567 is?"
    assert [kind for _, _, kind in spans_of(made)] == ["order_id"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Where is my order A1234567, please?", "same"),
        ("Can you tell me where order A123 is?", "entities"),
        ("A1234567 or A1234567, where is my order now?", "entities"),
        ("Where is A1234567?\nIt is on its way.", "not_a_sentence"),
        ("Answer: where is my order A1234567", "not_a_sentence"),
        ("", "not_a_sentence"),
        ("A1234567", "length"),
        ("We sell the best shoes in town today A1234567", "too_far"),
        ("¿Me puede decir dónde está my order A1234567 por favor, señor?", "language"),
    ],
)
def test_what_is_no_rewording_is_refused(text: str, reason: str) -> None:
    assert reworded(ASKED, text) == (None, reason)


class Model:
    """Stands in for the child process: rewords by a fixed rule, and can be stopped half-way."""

    def __init__(self) -> None:
        self.asked = 0
        self.stop_after = 10**9

    def run(self, module: str, arguments: list[str], *, step: str, progress: object) -> str:
        job = json.loads(arguments[0])

        def reply(batch: object) -> list[str]:
            if self.asked >= self.stop_after:
                raise KeyboardInterrupt
            self.asked += 1
            said = batch[0][-1]["content"]  # type: ignore[index]
            return [f"Well, {said} if you would"]

        answer_all(Path(job["prompts"]), Path(job["replies"]), reply, batch=1)
        return ""


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    model = Model()
    monkeypatch.setattr(paraphrasing, "run_module", model.run)
    return model


def test_a_killed_run_goes_on_where_it_was(model: Model, tmp_path: Path) -> None:
    weights = tmp_path / "chat.gguf"
    weights.write_bytes(gguf())
    out = tmp_path / "lines"
    model.stop_after = 25
    with pytest.raises(KeyboardInterrupt):
        synthesize(RETAIL, out, SETTINGS, paraphraser=weights)
    assert not out.exists()
    model.stop_after = 10**9
    synthesize(RETAIL, out, SETTINGS, paraphraser=weights)
    assert model.asked == SETTINGS.paraphrases
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat.gguf", "lines"]
    made = [row for row in rows(out / "train.jsonl") if row["provenance"]["source"] == "paraphrase"]
    assert made
    for row in made:
        assert row["text"].startswith("Well, ")
        assert len(row["provenance"]["model"]) == 12
        assert row["provenance"]["from"]
        for start, end, kind in row["spans"]:
            assert row["text"][start:end] in row["entities"][kind]


def test_the_model_is_shown_how_it_is_done(model: Model, tmp_path: Path) -> None:
    weights = tmp_path / "chat.gguf"
    weights.write_bytes(gguf())
    model.stop_after = 0
    with pytest.raises(KeyboardInterrupt):
        synthesize(RETAIL, tmp_path / "lines", SETTINGS, paraphraser=weights)
    prompts = next(tmp_path.rglob("*.prompts.jsonl"))
    for told in prompts.read_text("utf-8").splitlines():
        roles = [message["role"] for message in json.loads(told)]
        assert roles == ["system", *["user", "assistant"] * 3, "user"]
