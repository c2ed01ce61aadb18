"""Quoting a passage, and choosing between the quote and the language model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.generation import plan_answer, quote
from edge_runtime.generation.quote import MAX_CJK_CHARS, MAX_OTHER_CHARS, sentences
from edge_runtime.packs import Pack, load_pack
from edge_runtime.turn import Evidence, Passage, PassageKind

SENTENCE = st.text(alphabet="abcd 退货水壶é", min_size=1, max_size=60).filter(str.strip)
ENGLISH = " ".join(
    f"Sentence number {n} speaks about subject{n} at some length." for n in range(30)
)
CHINESE = (
    "店里的东西很多，慢慢看就好。" * 15
    + "羽绒服请用30度水洗。"
    + "店里的东西很多，慢慢看就好。" * 15
)


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack(Path("edge_runtime/packs/retail").resolve())


def passage(
    text: str = "Points never expire.",
    *,
    kind: PassageKind = "faq",
    score: float = 0.7,
    name: str = "a",
) -> Passage:
    return Passage(f"faq#{name}", f"Title {name}", text, "en", kind, "faq", score)


@given(st.lists(SENTENCE, min_size=1, max_size=40), st.sampled_from(["。", ". ", "！", "\n"]))
def test_a_quote_is_a_run_of_whole_sentences_within_bounds(parts: list[str], mark: str) -> None:
    text = mark.join(parts) + mark
    said = quote(text, "退货 a b")
    told = sentences(text)
    if said == text.strip():
        return
    runs = {
        joiner.join(told[start:end])
        for joiner in ("", " ")
        for start in range(len(told))
        for end in range(start + 1, len(told) + 1)
    }
    assert said in runs
    longest = max(len(sentence) for sentence in told)
    assert len(said) <= max(MAX_OTHER_CHARS, longest)


@given(st.text(max_size=2000), st.text(max_size=100))
def test_a_quote_holds_nothing_that_the_text_does_not(text: str, question: str) -> None:
    said = quote(text, question)
    assert "".join(said.split()) in "".join(text.split())


def test_short_texts_are_quoted_whole() -> None:
    assert quote("  Yes. You can.\n", "may I?") == "Yes. You can."


@pytest.mark.parametrize(
    ("text", "question", "wanted", "limit"),
    [
        (ENGLISH, "what about subject17?", "subject17", MAX_OTHER_CHARS),
        (CHINESE, "羽绒服怎么洗", "30度", MAX_CJK_CHARS),
        (CHINESE, "是30吗", "30度", MAX_CJK_CHARS),
    ],
)
def test_of_a_long_text_the_part_that_answers_is_quoted(
    text: str, question: str, wanted: str, limit: int
) -> None:
    said = quote(text, question)
    assert wanted in said
    assert len(said) <= limit


def test_one_sentence_longer_than_the_limit_is_not_cut() -> None:
    endless = "word " * 300 + "end."
    assert quote(endless, "end") == endless


@pytest.mark.parametrize("kind", ["policy", "repair"])
def test_what_binds_the_shop_is_quoted_not_rephrased(pack: Pack, kind: PassageKind) -> None:
    rule = passage("Food cannot be returned.", kind=kind)
    draft = plan_answer("bread?", Evidence((rule,)), pack, "en", can_generate=True)
    assert (draft.prompt, draft.text) == (None, "Food cannot be returned.")
    assert draft.sources == (rule.id,)


def test_without_a_model_the_passage_is_the_answer(pack: Pack) -> None:
    draft = plan_answer("points?", Evidence((passage(),)), pack, "en", can_generate=False)
    assert (draft.prompt, draft.text) == (None, "Points never expire.")


def test_a_direct_hit_is_quoted(pack: Pack) -> None:
    evidence = Evidence((passage(score=0.95),))
    assert plan_answer("points?", evidence, pack, "en", can_generate=True).prompt is None


def test_else_the_model_phrases_what_the_passages_say(pack: Pack) -> None:
    evidence = Evidence((passage(), passage("Cards are free.", score=0.65, name="b")))
    draft = plan_answer("points?", evidence, pack, "en", can_generate=True)
    assert draft.prompt is not None
    assert "Points never expire." in draft.prompt.context
    assert "Cards are free." in draft.prompt.context
    assert draft.prompt.question == "points?"
    assert "points?" not in draft.prompt.system + draft.prompt.context
    assert draft.sources == ("faq#a", "faq#b")
    assert draft.text == "Points never expire."


def test_a_much_weaker_second_passage_and_policies_stay_out_of_the_prompt(pack: Pack) -> None:
    for second in (
        passage("Far away.", score=0.3, name="b"),
        passage("Rule.", kind="policy", score=0.69, name="b"),
    ):
        draft = plan_answer("points?", Evidence((passage(), second)), pack, "en", can_generate=True)
        assert draft.sources == ("faq#a",)


@pytest.mark.parametrize("language", ["zh", "en", "es", "fr", "xx"])
def test_the_prompt_speaks_every_language_with_a_stable_beginning(
    pack: Pack, language: str
) -> None:
    one = plan_answer("one?", Evidence((passage(),)), pack, language, can_generate=True).prompt
    two = plan_answer("two?", Evidence((passage(),)), pack, language, can_generate=True).prompt
    assert one
    assert two
    assert (one.system, one.context) == (two.system, two.context)
    assert "{" not in one.system
