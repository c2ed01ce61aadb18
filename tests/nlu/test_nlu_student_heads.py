"""The student encoder: one pass for vector, intent, sentiment and entities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from student_kit import INTENTS, TAGS, heads, write_base, write_task

from edge_runtime.errors import EngineError
from edge_runtime.nlu import Encoder, Understander, choose_task, examples_digest, load_task
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.network import StudentNetwork
from edge_runtime.nlu.reading import task_evidence
from edge_runtime.nlu.student import base_fingerprint
from edge_runtime.nlu.tags import Span, merged, spans
from edge_runtime.nlu.tokenizer import Tokenizer
from edge_runtime.packs.schema import Lexicon, Pack, Term
from edge_runtime.turn import OUT_OF_SCOPE, Entity, Understanding


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def tokenizer(base: Mapping[str, Path]) -> Tokenizer:
    return Tokenizer(E5File(base["words.bin"]), base["pieces.npy"])


def _opened(base: Mapping[str, Path], folder: Path, **changed: object) -> Encoder:
    return Encoder(base, 1, load_task(write_task(folder, base, **changed)))


def _understood(encoder: Encoder, pack: Pack, text: str, folder: Path) -> Understanding:
    assert encoder.labels is not None
    student = (encoder, encoder.labels)
    made = Understander(pack, encoder, folder, student=student, today=lambda: date(2026, 11, 24))
    return made.understand(text, language="en")


def test_one_utterance_is_understood_by_the_trained_heads(
    base: Mapping[str, Path], pack: Pack, tmp_path: Path
) -> None:
    encoder = _opened(base, tmp_path)
    found = _understood(encoder, pack, "my order awful blue", tmp_path)
    assert found.intent == "find_order"
    assert found.intent_confidence > 0.9
    assert found.candidates[0] == ("find_order", found.intent_confidence)
    assert {name for name, _ in found.candidates} == {"find_order", "give_refund"}
    assert found.sentiment == "negative"
    (colour,) = found.entities
    assert (colour.type, colour.value) == ("colour", "blue")
    assert found.normalized[colour.start : colour.end] == "blue"


def test_what_no_intent_claims_is_out_of_scope(
    base: Mapping[str, Path], pack: Pack, tmp_path: Path
) -> None:
    found = _understood(_opened(base, tmp_path), pack, "hello", tmp_path)
    assert found.intent == OUT_OF_SCOPE
    assert found.intent_confidence == pytest.approx(1 - found.candidates[0][1])
    assert found.sentiment == "neutral"


def test_the_threshold_decides_what_is_turned_away(
    base: Mapping[str, Path], pack: Pack, tmp_path: Path
) -> None:
    content = heads(factor=0.25)
    text = "my order please"
    loose = _opened(base, tmp_path / "loose", content=content, threshold=0.1)
    strict = _opened(base, tmp_path / "strict", content=content, threshold=0.9)
    assert _understood(loose, pack, text, tmp_path).intent == "find_order"
    turned = _understood(strict, pack, text, tmp_path)
    assert turned.intent == OUT_OF_SCOPE
    assert turned.candidates[0][0] == "find_order"


def test_codes_do_not_move_what_was_tagged(
    base: Mapping[str, Path], pack: Pack, tmp_path: Path
) -> None:
    found = _understood(_opened(base, tmp_path), pack, "order AB1234567 in blue please", tmp_path)
    values = {item.type: item.value for item in found.entities}
    assert values == {"order_id": "AB1234567", "colour": "blue"}
    for item in found.entities:
        assert found.normalized[item.start : item.end] == item.text


def test_an_unknown_colour_is_tagged_and_a_known_word_is_the_rules(
    base: Mapping[str, Path], pack: Pack, tmp_path: Path
) -> None:
    encoder = _opened(base, tmp_path)
    joined = _understood(encoder, pack, "a blue jacket", tmp_path)
    assert [(item.type, item.text) for item in joined.entities] == [("category", "jacket")]
    words = Lexicon({}, (Term("order", "en", "product", "P-1"),), (), (), {})
    other = dataclasses.replace(pack, lexicon=words)
    apart = _understood(encoder, other, "a blue jacket", tmp_path)
    assert [(item.type, item.text) for item in apart.entities] == [("colour", "blue jacket")]


def test_a_type_with_a_form_is_left_to_the_rules(
    base: Mapping[str, Path], pack: Pack, tmp_path: Path
) -> None:
    found = _understood(_opened(base, tmp_path), pack, "refund please", tmp_path)
    assert found.intent == "give_refund"
    assert found.entities == ()


def test_heads_without_sentiment_and_tags_work(base: Mapping[str, Path], tmp_path: Path) -> None:
    plain = _opened(base, tmp_path, content=heads(sentiments=0, tags=0), sentiments=[], tags=[])
    (out,) = plain.understand(["refund"])
    assert (len(out.intent), len(out.sentiment), out.entities.shape[1]) == (3, 0, 0)


def test_retrieval_reuses_the_pass_that_understood(
    base: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, text = _opened(base, tmp_path), "where is my order"
    (out,) = encoder.understand([text])
    expected = Encoder(base, 1).encode([text], "query")

    def refused(*_: object) -> object:
        raise AssertionError("the lower layers ran again")

    monkeypatch.setattr(StudentNetwork, "hidden", refused)
    assert np.array_equal(encoder.encode([text], "query"), expected)
    assert encoder.understand([text])[0] is out
    with pytest.raises(AssertionError, match="ran again"):
        encoder.encode([text], "passage")


def test_a_text_reads_the_same_alone_and_in_company(
    base: Mapping[str, Path], tmp_path: Path
) -> None:
    texts = ["refund", "where is my blue order", "退款", "x"]
    together = _opened(base, tmp_path).encode(texts, "query")
    again = _opened(base, tmp_path)
    alone = np.vstack([again.encode([text], "query") for text in texts])
    assert np.array_equal(together, alone)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)


def test_an_encoder_without_heads_or_closed_says_so(
    base: Mapping[str, Path], tmp_path: Path
) -> None:
    bare = Encoder(base, 1)
    assert bare.labels is None
    with pytest.raises(EngineError, match="without trained heads"):
        bare.understand(["hello"])
    encoder = _opened(base, tmp_path)
    encoder.close()
    with pytest.raises(EngineError, match="closed"):
        encoder.understand(["hello"])


def test_the_fingerprint_is_that_of_all_three_files(
    base: Mapping[str, Path], tmp_path: Path
) -> None:
    copy = write_base(tmp_path)
    assert base_fingerprint(copy) == base_fingerprint(base)
    for name in ("words.bin", "trunk.onnx", "embedding.onnx"):
        copy = write_base(tmp_path)
        copy[name].write_bytes(copy[name].read_bytes() + b"\0")
        assert base_fingerprint(copy) != base_fingerprint(base)


def test_heads_serve_the_pack_whose_examples_they_learnt(
    base: Mapping[str, Path], pack: Pack, tmp_path: Path
) -> None:
    files = write_task(tmp_path, base, pack=examples_digest(pack))
    assert choose_task(files, pack).task == load_task(files)
    none = choose_task(None, pack)
    assert none.task is None
    assert "corner-shop" in none.reason
    taught = dict(pack.intents)
    invoice = taught["invoice"]
    taught["invoice"] = dataclasses.replace(
        invoice, examples={**invoice.examples, "en": ("print my bill",)}
    )
    changed = choose_task(files, dataclasses.replace(pack, intents=taught))
    assert changed.task is None
    assert "no longer" in changed.reason


# ---- tags ----


def _marks(*names: str) -> np.ndarray:
    logits = np.zeros((len(names), len(TAGS)), np.float32)
    for row, name in enumerate(names):
        logits[row, TAGS.index(name)] = 1.0
    return logits


def test_tags_become_stretches_of_text() -> None:
    places = [(0, 0), (0, 4), (4, 6), (7, 9), (9, 12), (0, 0)]
    marks = _marks("B-colour", "B-colour", "I-colour", "B-colour", "B-date", "B-date")
    assert spans(marks, TAGS, places) == (
        Span("colour", 0, 6),
        Span("colour", 7, 9),
        Span("date", 9, 12),
    )


def test_an_inside_alone_begins_a_stretch() -> None:
    places = [(0, 2), (2, 4), (4, 6)]
    assert spans(_marks("I-colour", "O", "I-colour"), TAGS, places) == (
        Span("colour", 0, 2),
        Span("colour", 4, 6),
    )


def test_punctuation_and_stand_ins_are_no_entities() -> None:
    text = "red ?"
    places = (0, 1, 2, -1, -1, 3, 4)
    tagged = (Span("colour", 0, 3), Span("colour", 3, 5), Span("colour", 5, 7))
    assert merged((), tagged, text, places) == (Entity("colour", "red", "red", 0, 3),)


# ---- evidence ----


def test_evidence_is_log_odds_margin_and_lead() -> None:
    logits = np.array([[1.0, 3.0, 2.0], [5.0, 0.0, 1.0]], np.float32)
    best, features = task_evidence(logits, INTENTS)
    assert best.tolist() == [1, 2]
    share = np.exp(3) / np.exp([1, 3, 2]).sum()
    together = np.log(np.exp([3, 2]).sum())
    assert features[0] == pytest.approx([np.log(share / (1 - share)), 1.0, together - 1.0])
    assert features[1, 1] == pytest.approx(1.0)


def test_evidence_without_an_outside_class_has_no_lead_over_it() -> None:
    best, features = task_evidence(np.array([[2.0, 1.0]], np.float32), ("a", "b"))
    assert best.tolist() == [0]
    assert features[0, 2] == pytest.approx(np.log(np.exp(2) + np.exp(1)))


# ---- positions of pieces ----

_TEXT = st.text(alphabet="refund order 退款ABCß?  xyz\u2581\ud800", max_size=40)


@given(text=_TEXT)
def test_pieces_cover_the_text_in_order(tokenizer: Tokenizer, text: str) -> None:
    pieces = tokenizer.pieces(text, 128, "query: ")
    assert pieces.ids == tokenizer.encode("query: " + text, 128)
    assert len(pieces.ids) == len(pieces.spans)
    shown = [span for span in pieces.spans if span != (0, 0)]
    assert all(0 <= start < end <= len(text) for start, end in shown)
    assert shown == sorted(shown)
    covered = {place for start, end in shown for place in range(start, end)}
    assert {i for i, char in enumerate(text) if char != " "} <= covered


def test_a_piece_names_the_characters_it_stands_for(tokenizer: Tokenizer) -> None:
    text = "A blue  jacket, 退款"
    pieces = tokenizer.pieces(text, 128, "query: ")
    said = {text[start:end].strip() for start, end in pieces.spans}
    assert {"blue", "jacket", "退", "款"} <= said
