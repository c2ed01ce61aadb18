"""Phrases: what is said stays within what was counted, and what is broken is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synth_kit import RETAIL

from converters.errors import DatasetError
from converters.synth import phrases
from converters.synth.fillers import Fillers
from converters.synth.grammar import Gap, parse, say
from converters.synth.phrases import languages, phrase_book
from converters.synth.pieces import Piece, cut, entities_of, reworded, spans_of, text_of, tidy
from edge_runtime.packs import Pack, load_pack
from edge_runtime.turn import UNCLEAR


@pytest.fixture(scope="module")
def retail_pack() -> Pack:
    return load_pack(RETAIL)


WORDS = st.text("abc de", min_size=1, max_size=6)
SOURCES = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda options: f"({'|'.join(options)})"),
        st.tuples(inner, inner).map("".join),
        inner.map(lambda body: f"({body})~"),
    ),
    max_leaves=6,
)


@given(SOURCES, st.integers(0, 1000))
def test_no_more_ways_are_said_than_were_counted(source: str, seed: int) -> None:
    phrase = parse(source)
    rng = random.Random(seed)
    said = {"".join(map(str, say(phrase, rng))) for _ in range(20)}
    assert 1 <= len(said) <= phrase.count


@pytest.mark.parametrize(
    ("source", "ways"),
    [
        ("(a|b) c", {"a c", "b c"}),
        ("a(b|)", {"ab", "a"}),
        ("ab~c", {"abc", "ac"}),
        ("(x )~y", {"x y", "y"}),
        ("(a(b|c)|d)", {"ab", "ac", "d"}),
    ],
)
def test_choices_and_options(source: str, ways: set[str]) -> None:
    phrase, rng = parse(source), random.Random(0)
    assert {"".join(map(str, say(phrase, rng))) for _ in range(100)} == ways
    assert phrase.count == len(ways)


def test_gaps_are_named() -> None:
    phrase = parse("track (my {goods}|{order_id})")
    assert phrase.gaps == {"goods", "order_id"}
    assert any(isinstance(part, Gap) for part in say(phrase, random.Random(0)))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("(a", "without '\\)'"),
        ("a)", "without '\\('"),
        ("~a", "stands behind"),
        ("a {b", "written {name}"),
        ("(" * 12 + "a" + ")" * 12, "too deep"),
    ],
)
def test_broken_phrases_are_refused(source: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(source)


@given(st.lists(st.builds(Piece, st.text(max_size=8), st.sampled_from(["", "date"])), max_size=6))
def test_pieces_and_spans_say_the_same(pieces: list[Piece]) -> None:
    said = tidy(pieces)
    text = text_of(said)
    for start, end, kind in spans_of(said):
        assert text[start:end] in entities_of(said)[kind]
    assert text_of(cut(text, spans_of(said))) == text


def test_rewording_leaves_entities_alone() -> None:
    said = (Piece("where is "), Piece("A12", "order_id"), Piece(" now"))
    loud = reworded(said, str.upper)
    assert text_of(loud) == "WHERE IS A12 NOW"
    assert spans_of(loud) == [(9, 12, "order_id")]
    # A missed entity type would be taught as plain text.
    assert reworded((Piece("a12", "order_id"),), str.upper)[0].text == "a12"


def test_ten_languages_have_phrases_for_every_intent(retail_pack: Pack) -> None:
    assert set(languages()) == {"de", "en", "es", "fr", "it", "ja", "ko", "pt", "ru", "zh"}
    for code in languages():
        book = phrase_book(code)
        assert set(book.intents) == {*retail_pack.intents, UNCLEAR}, code
        assert len(book.out_of_scope) >= 40, code


def test_every_gap_can_be_filled(retail_pack: Pack) -> None:
    for code in languages():
        book = phrase_book(code)
        fillers = Fillers(retail_pack, book)
        blocks = [*book.intents.values(), *book.dialects.values(), book.out_of_scope]
        unfilled = [p.source for block in blocks for p in block if not fillers.can(p)]
        assert not unfilled, code


def test_particles_articles_and_cases_agree(retail_pack: Pack) -> None:
    def said(code: str, source: str, category: str) -> str:
        fillers = Fillers(retail_pack, phrase_book(code))
        rng = random.Random(1)
        return " ".join(text_of(fillers.say(parse(source), rng, category)) for _ in range(40))

    assert "책을" in said("ko", "{goods}을/를", "books")
    assert "커피를" in said("ko", "{goods}을/를", "food")
    assert "книгу" in said("ru", "{the_goods}", "books")
    assert "a oven" not in said("en", "a {goods}", "appliance")
    assert "do aspirador" in said("pt", "de {the_goods}", "appliance")


def test_a_broken_book_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xx.yaml").write_text("intents: {a: '(b'}\nout_of_scope: c\n")
    monkeypatch.setattr(phrases, "PHRASES", tmp_path)
    with pytest.raises(DatasetError, match=r"xx\.yaml: A phrase is wrong"):
        phrases.phrase_book.__wrapped__("xx")
    with pytest.raises(DatasetError, match="There is no phrase book"):
        phrases.phrase_book.__wrapped__("yy")
