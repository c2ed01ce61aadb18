"""Labelled lines of the retail pack: enough, balanced, exact, apart, each with its origin."""

from __future__ import annotations

import re
from collections import Counter

from rapidfuzz import fuzz
from synth_kit import RETAIL, Made

from converters.dataset import SENTIMENTS, read_rows
from converters.synth.likeness import NEAR, key, plain
from converters.synth.settings import SynthSettings
from edge_runtime.packs import load_pack

LANGUAGES = {"zh", "en", "es", "de", "fr", "it", "ja", "ko", "pt", "ru"}


def test_ten_thousand_lines_in_ten_languages(retail: Made) -> None:
    lines = [*retail.train, *retail.valid]
    assert len(lines) >= 10_000
    assert {line["lang"] for line in lines} == LANGUAGES
    assert read_rows(retail.path / "train.jsonl")
    assert read_rows(retail.path / "valid.jsonl")
    assert retail.report["lines"]["train"] == len(retail.train)
    assert sum(retail.report["lines"]["by_intent"].values()) == len(lines)


def test_every_intent_in_every_language_has_its_share(retail: Made) -> None:
    pack = load_pack(RETAIL)
    settings = SynthSettings(lines=13_000)
    quotas = settings.quotas(pack, settings.check(pack))
    cells = Counter((line["lang"], line["intent"]) for line in [*retail.train, *retail.valid])
    for code, (usual, outside) in quotas.items():
        for intent in pack.intents:
            assert 0.7 * usual <= cells[code, intent] <= usual, (code, intent)
        assert 0.7 * outside <= cells[code, "out_of_scope"] <= outside, code
        assert 0.5 * usual <= cells[code, "unclear"] <= usual, code
    assert retail.report["lines"]["below_half"] == []


def test_spans_entities_and_text_agree(retail: Made) -> None:
    for line in [*retail.train, *retail.valid]:
        found: dict[str, list[str]] = {}
        before = 0
        for start, end, kind in sorted(line["spans"]):
            assert before <= start < end <= len(line["text"]), line
            before = end
            found.setdefault(kind, []).append(line["text"][start:end])
        assert found == line["entities"], line
        assert not re.search(r"[{}|~#]", line["text"]), line
        assert line["text"] == line["text"].strip()
        assert line["sentiment"] in SENTIMENTS


def test_goods_order_numbers_dates_and_addresses_are_marked(retail: Made) -> None:
    seen = Counter((line["lang"], kind) for line in retail.train for _, _, kind in line["spans"])
    for code in LANGUAGES:
        for kind in ("category", "product", "order_id", "date", "money", "address"):
            assert seen[code, kind] > 0, (code, kind)


def test_no_line_is_said_twice(retail: Made) -> None:
    texts = [key(line["text"]) for line in [*retail.train, *retail.valid]]
    assert [text for text, count in Counter(texts).items() if count > 1] == []


def test_each_line_says_where_it_came_from(retail: Made) -> None:
    sources = {
        "template", "example", "dialect", "typo", "homophone", "code_switch", "emotion", "polite",
    }  # fmt: skip
    found = Counter(line["provenance"]["source"] for line in retail.train)
    assert set(found) == sources
    for line in [*retail.train, *retail.valid]:
        assert line["provenance"]["from"]
        assert line["provenance"]["seed"] == 0
    assert retail.report["lines"]["by_source"].keys() == sources


def test_what_began_as_one_phrase_stays_on_one_side(retail: Made) -> None:
    train = {line["provenance"]["from"] for line in retail.train}
    valid = {line["provenance"]["from"] for line in retail.valid}
    assert not train & valid
    assert 0.05 < len(retail.valid) / len(retail.train) < 0.25
    known = [plain(line["text"]) for line in retail.train if line["lang"] == "en"]
    for line in [line for line in retail.valid if line["lang"] == "en"][::10]:
        said = plain(line["text"])
        assert max(fuzz.ratio(said, other) for other in known) < NEAR, line


def test_excluded_texts_do_not_occur_nor_nearly(retail: Made) -> None:
    assert retail.report["excluded_texts"] == 1
    assert retail.report["lines"]["dropped"]["excluded"] > 0
    forbidden = plain("Where is my order?")
    for line in [*retail.train, *retail.valid]:
        if line["lang"] == "en":
            assert fuzz.ratio(plain(line["text"]), forbidden) < NEAR, line


def test_complaints_are_negative_and_thanks_positive(retail: Made) -> None:
    felt = Counter((line["intent"], line["sentiment"]) for line in retail.train)
    assert felt["complaint", "negative"] == sum(
        count for (intent, _), count in felt.items() if intent == "complaint"
    )
    assert felt["thanks", "negative"] == 0
    assert min(felt["price_query", mood] for mood in SENTIMENTS) > 0
