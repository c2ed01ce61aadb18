"""Conversations out of the retail pack: as the runtime asks, faithful, varied, and held apart."""

from __future__ import annotations

from collections import Counter

from synth_kit import RETAIL, Made, Rows

from converters.distill.conversations import read_conversations
from converters.evaluate.faithfulness import judge
from converters.evaluate.questions import read_questions
from edge_runtime.generation.prompts import answer_prompt
from edge_runtime.packs import load_pack, read_passages


def test_there_are_thousands_in_the_languages_of_the_pack(retail: Made) -> None:
    talks = [*retail.talks, *retail.held_talks]
    assert len(talks) >= 3_000
    counts = Counter(talk["lang"] for talk in talks)
    assert set(counts) == {"zh", "en", "es"}
    assert min(counts.values()) > 0.6 * max(counts.values())
    sources = Counter(talk["provenance"]["source"] for talk in talks)
    assert set(sources) == {
        "passage", "product", "detail", "category", "insistence", "unknown", "follow_up",
    }  # fmt: skip
    assert retail.report["conversations"]["train"] == len(retail.talks)


def test_prompts_are_those_of_the_runtime(retail: Made) -> None:
    pack = load_pack(RETAIL)
    known = {
        (passage.id, passage.language): passage
        for file in pack.knowledge_files
        for passage in read_passages(file, pack.root)
    }
    for talk in retail.talks[::17]:
        shown = tuple(known[name, talk["lang"]] for name in talk["provenance"]["passages"])
        prompt = answer_prompt(talk["messages"][1]["content"], shown, pack, talk["lang"])
        assert talk["messages"][0]["content"] == f"{prompt.system}\n{prompt.context}"


def test_what_measures_and_trains_can_read_them(retail: Made) -> None:
    held = retail.path / "replies" / "valid.jsonl"
    questions = read_questions(held, 60)
    assert {question.language for question in questions} == {"zh", "en", "es"}
    assert all(question.expected for question in questions)
    train = read_conversations(retail.path / "replies" / "train.jsonl")
    assert {len(talk.prompt) for talk in train} == {2, 4}


def test_the_hoped_for_replies_are_faithful(retail: Made) -> None:
    questions = read_questions(retail.path / "replies" / "valid.jsonl", 200)
    expected = [question.expected for question in questions]
    for outcome in judge(questions, expected, load_pack(RETAIL).lexicon):
        assert not outcome.faults, outcome
        assert not outcome.misses, outcome


def test_no_passage_stands_on_both_sides(retail: Made) -> None:
    def shown(talks: Rows) -> set[str]:
        return {name for talk in talks for name in talk["provenance"]["passages"]}

    assert not shown(retail.talks) & shown(retail.held_talks)


def test_nothing_is_asked_twice_over_the_same_facts(retail: Made) -> None:
    asked = [
        (talk["lang"], talk["messages"][0]["content"], talk["messages"][1]["content"])
        for talk in [*retail.talks, *retail.held_talks]
        if len(talk["messages"]) == 3
    ]
    assert len(asked) == len(set(asked))


def test_what_the_passages_do_not_say_is_not_answered(retail: Made) -> None:
    unknown = [talk for talk in retail.talks if talk["provenance"]["source"] == "unknown"]
    assert 0.15 < len(unknown) / len(retail.talks) < 0.4
    helped = {"zh": "同事", "en": "colleague", "es": ("compañero", "mostrador")}
    for talk in unknown:
        reply, wanted = talk["messages"][2]["content"], helped[talk["lang"]]
        words = (wanted,) if isinstance(wanted, str) else wanted
        assert any(word in reply for word in words), reply


def test_lines_tell_whether_the_facts_answer(retail: Made) -> None:
    for talk in [*retail.talks, *retail.held_talks]:
        assert talk["answered"] == (talk["provenance"]["source"] != "unknown")


def test_what_descriptions_tell_is_asked_more_than_what_they_do_not(retail: Made) -> None:
    about = [
        talk
        for talk in retail.talks
        if all(name.startswith("products#") for name in talk["provenance"]["passages"])
    ]
    counts = Counter((talk["lang"], talk["answered"]) for talk in about)
    for code in ("zh", "en", "es"):
        assert counts[code, True] > 2 * counts[code, False], code
    # Customers have other names for goods than their labels.
    cooker = {
        talk["messages"][1]["content"].casefold()
        for talk in about
        if talk["lang"] == "en" and talk["provenance"]["from"] == "products#P6002"
    }
    assert any("ricejoy rice cooker" in asked for asked in cooker)
    assert any("ricejoy" in asked and "rice cooker" not in asked for asked in cooker)


def test_replies_open_in_many_ways_and_stay_short(retail: Made) -> None:
    for code, longest in (("zh", 220), ("en", 520), ("es", 520)):
        replies = [
            message["content"]
            for talk in retail.talks
            if talk["lang"] == code
            for message in talk["messages"]
            if message["role"] == "assistant"
        ]
        assert len({reply[:8] for reply in replies}) > 100, code
        assert max(map(len, replies)) <= longest, code


def test_insisting_changes_no_rule(retail: Made) -> None:
    for talk in retail.talks:
        if talk["provenance"]["source"] == "insistence" and talk["lang"] == "en":
            assert "Sorry" in talk["messages"][2]["content"], talk
