"""The shipped retail pack is sound, complete in its languages, and says nothing it forbids."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from edge_runtime.config import PACKS_DIR
from edge_runtime.packs import Pack, check_pack, load_pack, read_passages, read_rows
from edge_runtime.packs.checks import plain
from edge_runtime.turn import OUT_OF_SCOPE, Passage

RETAIL = PACKS_DIR / "retail"
TEST_SET = Path(__file__).parents[2] / "bench" / "data" / "retail_test.jsonl"
GENERIC = ("greeting", "clarify", "handover", "out_of_scope", "no_evidence", "blocked", "apology")


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack(RETAIL)


@pytest.fixture(scope="module")
def passages(pack: Pack) -> list[Passage]:
    return [p for file in pack.knowledge_files for p in read_passages(file, pack.root)]


def spoken(pack: Pack, passages: list[Passage]) -> Iterator[tuple[str, str]]:
    for language, replies in pack.replies.items():
        yield from ((language, text) for text in replies.values())
    yield from ((passage.language, f"{passage.title} {passage.text}") for passage in passages)


def test_the_pack_has_no_defect() -> None:
    assert [str(error) for error in check_pack(RETAIL)] == []


def test_every_intent_has_enough_examples(pack: Pack) -> None:
    least = {"zh": 25, "en": 25, "es": 12}
    for intent in pack.intents.values():
        counts = {language: len(intent.examples[language]) for language in least}
        assert all(counts[language] >= least[language] for language in least), intent.name


def test_out_of_scope_has_enough_examples(pack: Pack) -> None:
    for language, least in (("zh", 80), ("en", 80), ("es", 40)):
        assert len(pack.out_of_scope[language]) >= least


def test_no_example_is_a_test_utterance(pack: Pack) -> None:
    lines = TEST_SET.read_text(encoding="utf-8").splitlines()
    held_out = {(entry["language"], plain(entry["text"])) for entry in map(json.loads, lines)}
    groups = [*(intent.examples for intent in pack.intents.values()), pack.out_of_scope]
    examples = {(la, plain(t)) for group in groups for la, texts in group.items() for t in texts}
    assert not held_out & examples


def test_the_test_set_covers_every_intent_in_every_language(pack: Pack) -> None:
    entries = [json.loads(line) for line in TEST_SET.read_text(encoding="utf-8").splitlines()]
    count = Counter((entry["intent"], entry["language"]) for entry in entries)
    assert {intent for intent, _ in count} == {*pack.intents, OUT_OF_SCOPE}
    assert all(count[intent, language] for intent in pack.intents for language in pack.languages)
    assert len(entries) >= 300


def test_customers_of_ten_languages_get_a_polite_line(pack: Pack) -> None:
    extra = {"de", "fr", "ja", "ko", "pt", "it", "ru", "ar"}
    for language in {*pack.languages, *extra}:
        assert all(pack.replies[language].get(key) for key in GENERIC), language


def test_the_pack_never_says_what_its_own_lists_forbid(pack: Pack, passages: list[Passage]) -> None:
    forbidden = [(w.language, w.text, w.allow) for w in pack.lexicon.sensitive]
    forbidden += [(r.language, p, r.allow) for r in pack.lexicon.compliance for p in r.phrases]
    for language, text in spoken(pack, passages):
        for word_language, word, allowed in forbidden:
            if word_language == language:
                rest = text.casefold()
                for longer in allowed:
                    rest = rest.replace(longer.casefold(), "")
                assert word.casefold() not in rest, (language, word, text)


def test_bread_is_refused_and_a_coat_accepted(pack: Pack, passages: list[Passage]) -> None:
    rules = {(rule.topic, rule.category): rule.passage for rule in pack.policies}
    texts = {(passage.id, passage.language): passage.text for passage in passages}
    category = {(t.language, t.text): t.value for t in pack.lexicon.terms if t.entity == "category"}
    for language, bread, coat, no, yes in (
        ("zh", "面包", "外套", "抱歉", "可以退"),
        ("en", "bread", "coat", "Sorry", "Yes"),
        ("es", "pan", "abrigo", "Lo siento", "Sí"),
    ):
        food = rules["returns", category[language, bread]]
        clothing = rules["returns", category[language, coat]]
        assert texts[food, language].startswith(no)
        assert bread in texts[food, language]
        assert texts[clothing, language].startswith(yes)


def test_policy_answers_are_short_enough_to_be_spoken(passages: list[Passage]) -> None:
    for passage in passages:
        if passage.kind == "policy":
            sentences = [s for s in re.split(r"[。！？]|[.!?](?:\s|$)", passage.text) if s.strip()]
            limit = 130 if passage.language == "zh" else 330
            assert len(sentences) <= 4 and len(passage.text) <= limit, passage


def test_sample_orders_cover_every_status(pack: Pack) -> None:
    statuses = Counter(row["status"] for row in read_rows(pack, "orders"))
    assert len(statuses) == 7
    assert sum(statuses.values()) >= 25
    assert {row["tier"] for row in read_rows(pack, "customers")} == {"none", *pack.vip}


def test_pictures_are_small_and_used(passages: list[Passage]) -> None:
    used = {image for passage in passages for image in passage.images}
    drawn = {f"images/{file.name}" for file in (RETAIL / "images").iterdir()}
    assert used == drawn
    assert len(drawn) >= 8
    for name in drawn:
        file = RETAIL / name
        assert file.stat().st_size <= 40 * 1024
        with Image.open(file) as picture:
            assert picture.width >= 320
