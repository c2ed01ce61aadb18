"""Task scores of language models: what is faithful, what a shop may not say, and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from converter_kit import lines
from gguf_kit import conversation, task_file, text_file, tiny_pair
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import DatasetError
from converters.evaluate.cards import write_card
from converters.evaluate.faithfulness import judge, task_metrics
from converters.evaluate.pages import as_html
from converters.evaluate.questions import Question, balanced, read_questions
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.config import PACKS_DIR
from edge_runtime.generation import Prompt
from edge_runtime.packs import load_pack
from edge_runtime.packs.schema import ComplianceRule, Lexicon


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return load_pack(PACKS_DIR / "retail").lexicon


def question(
    expected: str, facts: str, asked: str, language: str = "en", *, answered: bool = True
) -> Question:
    prompt = Prompt("Rules.", f"Facts:\n{facts}", asked)
    return Question(1, language, prompt, expected, answered)


RETURNS = question(
    "Yes, kettles can be returned within 14 days with the receipt.",
    "Returns：Kettles can be returned within 14 days with the receipt. Food cannot be returned.",
    "can I return a kettle?",
)
FOOD = question(
    "不可以，食品一经售出概不退换。",
    "退货：普通商品凭小票7天内可以退货。食品一经售出，概不退换。",
    "面包可以退吗？",
    "zh",
)
OPENING = question(
    "The desk is open every day from 9:30 to 21:00.",
    "Desk：The service desk is open every day from 9:30 to 21:00 for returns and repairs.",
    "when does the desk open?",
)
NOT_SAID = question(
    "不好意思，我这边的资料没有提到，服务台的同事可以帮您。",
    "沸点电水壶：1.7 升，304 不锈钢内胆，烧开自动断电。坏了请到服务台，同事可以帮您看看。",
    "沸点电水壶送礼品袋吗？",
    "zh",
    answered=False,
)


@pytest.mark.parametrize(
    ("asked", "reply", "faults"),
    [
        (NOT_SAID, "这个我不清楚，请问一下店里的人。", ()),
        (NOT_SAID, "沸点电水壶：1.7 升，304 不锈钢内胆，烧开自动断电。", ("beside_the_point",)),
        (RETURNS, "Yes: you can return kettles within 14 days if you bring the receipt.", ()),
        (
            RETURNS,
            "Yes, kettles can be returned within 30 days with the receipt.",
            ("unsupported",),
        ),
        (RETURNS, "Kettles can be returned with the receipt.", ("numbers",)),
        (
            RETURNS,
            "No, kettles with a receipt cannot be returned, not within 14 days.",
            ("yes_no",),
        ),
        (RETURNS, "It takes 14 days.", ("yes_no", "key_facts")),
        (RETURNS, "  ", ("silent",)),
        (FOOD, "食品售出后概不退换哦。", ()),
        (FOOD, "面包可以退货，请带好食品和小票。", ("yes_no",)),
        (OPENING, "Every day from 9:30 until 21:00, the service desk is open.", ()),
        (OPENING, "It is open from 9:30 to 21:00, from Monday to Friday only.", ("key_facts",)),
    ],
)
def test_faults_against_the_facts(
    lexicon: Lexicon, asked: Question, reply: str, faults: tuple[str, ...]
) -> None:
    (outcome,) = judge([asked], [reply], lexicon)
    assert set(faults) <= set(outcome.faults)
    assert bool(faults) == bool(outcome.faults), outcome.faults


def test_what_was_hoped_for_is_always_faithful(lexicon: Lexicon) -> None:
    asked = [RETURNS, FOOD, OPENING, NOT_SAID]
    outcomes = judge(asked, [item.expected for item in asked], lexicon)
    assert [outcome.faults for outcome in outcomes] == [(), (), (), ()]
    assert task_metrics(outcomes)["answer_faithfulness"] == 1


def test_a_forbidden_phrase_is_a_miss_however_true(lexicon: Lexicon) -> None:
    rule = ComplianceRule("best", "en", ("the best kettle ever",), "replace", "a good kettle")
    strict = Lexicon(**{**fields(lexicon), "compliance": (rule,)})
    replies = ["It is the best kettle ever: return it within 14 days.", "Within 14 days."]
    outcomes = judge([RETURNS, RETURNS], replies, strict)
    assert [outcome.misses for outcome in outcomes] == [("best",), ()]
    assert task_metrics(outcomes)["compliance_misses"] == 1


def fields(lexicon: Lexicon) -> dict[str, Any]:
    return {name: getattr(lexicon, name) for name in lexicon.__dataclass_fields__}


def test_languages_are_told_apart(lexicon: Lexicon) -> None:
    outcomes = judge([RETURNS, FOOD], [RETURNS.expected, "可以退货。"], lexicon)
    found = task_metrics(outcomes)
    assert (found["answer_faithfulness.en"], found["answer_faithfulness.zh"]) == (1, 0)
    assert found["answer_faithfulness"] == 0.5


@given(st.lists(st.sampled_from(["en", "zh", "es"]), min_size=1, max_size=60), st.integers(1, 80))
def test_questions_are_taken_from_the_languages_in_turn(languages: list[str], limit: int) -> None:
    rows = [Question(n, lang, Prompt("", "f", "q"), "") for n, lang in enumerate(languages, 1)]
    chosen = balanced(rows, limit)
    assert len(chosen) <= min(limit, len(rows))
    assert [item.line for item in chosen] == sorted({item.line for item in chosen})
    counts = [sum(item.language == lang for item in chosen) for lang in set(languages)]
    there = [languages.count(lang) for lang in set(languages)]
    if min(there) * len(there) >= limit:
        assert max(counts) - min(counts) <= 1
        assert sum(counts) == limit


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "not JSON"),
        ("[1]", "no 'messages'"),
        ('{"messages": []}', "one question"),
        ('{"messages": [{"role": "user", "content": "hi"}]}', "one question"),
        (json.dumps({**conversation("hi"), "lang": 3}), "language code"),
        (json.dumps({**conversation("hi"), "answered": "no"}), "neither true nor false"),
        (json.dumps(conversation(" ")), "no facts"),
        (json.dumps(conversation("q", "r")).replace("\\n", " "), "no facts"),
    ],
)
def test_conversations_of_another_shape_are_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text(json.dumps(conversation("fine?")) + "\n\n" + line + "\n")
    with pytest.raises(DatasetError, match=reason) as caught:
        read_questions(path, 10)
    assert caught.value.line == 3


def test_no_conversations_at_all(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no conversations"):
        read_questions(lines(tmp_path / "empty.jsonl", []), 10)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_questions(tmp_path / "missing.jsonl", 10)


def test_a_tiny_model_gets_a_card_it_misses(tmp_path: Path) -> None:
    folder, model = tiny_pair(tmp_path)
    card = tmp_path / "tiny.card.json"
    run = CliRunner().invoke(
        app,
        [
            *("evaluate", "llm", str(model), "--reference", str(folder), "--json"),
            *("--text", str(text_file(tmp_path / "shop.txt")), "--threads", "1"),
            *("--task", str(task_file(tmp_path / "task.jsonl")), "--card", str(card)),
            *("--bar", "answer_faithfulness=0.9", "--bar", "compliance_misses=0"),
            *("--bar", "mean_kl=0.001"),
        ],
    )
    assert run.exit_code == 8, run.output
    told = json.loads(run.stdout)
    # PyTorch at 32 bits is the reference: only the 16-bit key-value cache differs.
    assert told["metrics"]["mean_kl"] < 1e-3
    assert told["metrics"]["top1_agreement"] > 0.98
    assert 0 <= told["metrics"]["reply_accuracy"] < 0.5
    assert told["metrics"]["replies"] == 4
    assert {"answer_faithfulness.zh", "answer_faithfulness.es"} <= told["metrics"].keys()
    assert [miss.split()[0] for miss in told["misses"]] == ["answer_faithfulness"]
    assert "Replies with something wrong" in card.with_suffix(".md").read_text("utf-8")
    html = card.with_suffix(".html").read_text("utf-8")
    assert "<svg" in html
    assert "http" not in html.replace("http://www.w3.org", "")


def test_the_page_draws_languages_and_runs_nothing(tmp_path: Path) -> None:
    metrics = {"answer_faithfulness": 0.8, "answer_faithfulness.en": 0.9}
    card = QualityCard("0" * 64, "<script>x</script>", metrics, {"answer_faithfulness": Bar(0.9)})
    facts = {"model": "<img src=x onerror=y>"}
    write_card(card, tmp_path / "a.json", title="T <b>", facts=facts, plots=True)
    html = (tmp_path / "a.html").read_text("utf-8")
    assert html.count("<svg") == 1
    for forbidden in ("<script", "<img", "T <b>"):
        assert forbidden not in html
    assert as_html("# x\n", []) == as_html("# x\n", [])
