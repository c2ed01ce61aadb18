"""The student's base: which pieces it keeps, and that its vectors are the whole encoder's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_kit import said, tiny_e5
from nlu.student_kit import PIECES
from typer.testing import CliRunner

from converters.cli import app
from converters.encoder.body import Embedding, Trunk, Words
from converters.encoder.languages import by_language, language_directions
from converters.encoder.student import depth_of, make_student
from converters.encoder.vocabulary import _by_words, _common, choose_pieces
from converters.errors import OptionError
from converters.progress import silent
from edge_runtime.bundles import bundle_files
from edge_runtime.errors import ModelCorruptError
from edge_runtime.nlu import Encoder
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_e5(tmp_path_factory.mktemp("whole") / "e5.bin")


def test_texts_keep_their_pieces_and_single_characters_stay(source: Path) -> None:
    file = E5File(source)
    names = [file.vocabulary.piece(index).decode() for index in range(file.vocabulary.count)]
    kept = {names[index] for index in choose_pieces(file, ["my refund"], 48)}
    assert "\u2581refund" in kept
    assert {"<s>", "</s>", "<pad>", "<unk>", "a", "z", "0", "退"} <= kept
    assert len(kept) <= 48
    first = [names[index] for index in choose_pieces(file, ["my refund"], 48)][:14]
    assert "\u2581refund" in first
    with pytest.raises(OptionError, match="too few"):
        choose_pieces(file, ["my refund"], 10)


def test_words_are_kept_as_they_are_written_at_the_start_of_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = ["can", "Can", "CAN", "orange", "Orange", "zug", "Zug", "ZUG"]
    words = {"en": {"can": 1e-2, "orange": 2e-3}, "de": {"zug": 1e-2}}
    # A German noun is hardly ever written small; only what is short is an abbreviation.
    assert ranked(known, words, monkeypatch) == [
        "can", "Zug", "zug", "Can", "orange", "Orange", "CAN", "ZUG",
    ]  # fmt: skip


def test_words_of_a_language_without_spaces_are_mostly_not_at_the_start_of_a_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = ["\u2581退款", "退款", "\u2581吗", "\u2581can", "can", "\u2581Can", "\u2581CAN"]
    words = {"zh": {"退款": 1e-2, "吗": 1e-3}, "en": {"can": 1e-4}}
    assert ranked(known, words, monkeypatch) == [
        "退款", "\u2581退款", "\u2581吗", "\u2581can", "\u2581Can", "\u2581CAN",
    ]  # fmt: skip


def ranked(
    known: list[str], words: dict[str, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """How a vocabulary of ``known`` words, each one piece, is ranked by frequencies."""

    class Whole:
        count = len(known)

        def piece(self, index: int) -> bytes:
            return known[index].encode()

        def encode(self, text: str, limit: int) -> list[int]:
            return [known.index("\u2581" + text if "\u2581" + text in known else text)]

    monkeypatch.setattr("wordfreq.get_frequency_dict", lambda language: words.get(language, {}))
    whole: Any = Whole()
    return [known[index] for index in _by_words(whole, whole, silent)]


def test_numbers_and_phrases_stay_though_no_list_of_words_has_them() -> None:
    known = ["<s>", "\u258150%", "你的", "服務", "的な", "abc", "\u25811°", "...", "ab1"]

    class Whole:
        count = len(known)
        scores = [-1.0] * len(known)

        def piece(self, index: int) -> bytes:
            return known[index].encode()

    whole: Any = Whole()
    kept = {known[index] for index in _common(whole)}
    assert kept == {"\u258150%", "你的", "服務", "的な", "\u25811°"}


def test_rare_pieces_get_rows_of_two_bits(source: Path, tmp_path: Path) -> None:
    made = make_student(source, said("order"), tmp_path / "base", pieces=48, fine=20)
    whole, words = E5File(source), E5File(made.path / "files" / "words.bin")
    old = [whole.vocabulary.piece(index) for index in range(whole.vocabulary.count)]
    assert "\u2581order".encode() in [words.vocabulary.piece(index) for index in range(20)]
    for index in range(words.vocabulary.count):
        wanted = whole.words([old.index(words.vocabulary.piece(index))])[0]
        found = words.words([index])[0]
        assert np.array_equal(found, wanted) == (index < 20)
        assert np.corrcoef(found, wanted)[0, 1] > 0.85


def test_the_students_vectors_are_those_of_the_whole_encoder(source: Path, tmp_path: Path) -> None:
    made = make_student(source, said("refund order"), tmp_path / "base", pieces=len(PIECES))
    files = bundle_files(made.path)
    file = E5File(source)
    texts = ["refund order", "a blue jacket", "退款"]
    encoder = Encoder(files, 1)
    found = encoder.encode(texts, "query")
    tokenizer = Tokenizer(E5File(files["words.bin"]), files["pieces.npy"])
    words = Words(E5File(files["words.bin"]))
    depth = depth_of(file.shape)
    for text, vector in zip(texts, found, strict=True):
        embeddings, mask = words.batch([tokenizer.encode(f"query: {text}", 128)])
        wanted = Embedding(file, depth)(Trunk(file, depth)(embeddings, mask), mask)
        assert float(wanted.detach().numpy()[0] @ vector) > 0.98
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_what_tells_languages_apart_is_taken_out_of_vectors(source: Path, tmp_path: Path) -> None:
    english = [f"refund {a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    chinese = [f"退款{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    texts = [*said(*english, language="en"), *said(*chinese, language="zh")]

    def apart(base: Path) -> float:
        """How far the languages' means lie apart, by how far texts of one do."""
        encoder = Encoder(bundle_files(base), 1)
        one, other = (encoder.encode(part, "query") for part in (english, chinese))
        encoder.close()
        spread = np.linalg.norm(one - one.mean(0), axis=1).mean()
        return float(np.linalg.norm(one.mean(0) - other.mean(0)) / spread)

    make_student(source, texts, tmp_path / "base", pieces=len(PIECES))
    unnamed = [replace(row, language=None) for row in texts]
    make_student(source, unnamed, tmp_path / "as-it-is", pieces=len(PIECES))
    assert apart(tmp_path / "base") < apart(tmp_path / "as-it-is") / 5


def test_a_language_with_few_texts_or_alone_says_nothing() -> None:
    many = [f"text {number}" for number in range(1000)]
    few = said("ein Text", "noch ein Text", language="de")
    assert by_language([*said(*many, language="en"), *few]) == {}
    found = by_language([*said(*many, language="en"), *said(*many[:60], *many[:60], language="fr")])
    assert {language: len(texts) for language, texts in found.items()} == {"en": 300, "fr": 60}
    assert found["en"][-1] > "text 8"


def test_directions_are_those_that_means_differ_by() -> None:
    random = np.random.default_rng(0)
    means = torch.from_numpy(random.normal(size=(4, 16)).astype(np.float32)) + 5
    found = language_directions(means)
    assert torch.allclose(found @ found.T, torch.eye(3), atol=1e-5)
    rest = means - means @ found.T @ found
    assert torch.allclose(rest, rest[:1].expand_as(rest), atol=1e-4)


def test_a_trimmed_vocabulary_reads_the_same_rows(source: Path, tmp_path: Path) -> None:
    made = make_student(source, said("order"), tmp_path / "base", pieces=48)
    whole, words = E5File(source), E5File(made.path / "files" / "words.bin")
    assert words.vocabulary.count == made.pieces < whole.vocabulary.count
    old = [whole.vocabulary.piece(index) for index in range(whole.vocabulary.count)]
    for index in range(words.vocabulary.count):
        piece = words.vocabulary.piece(index)
        assert np.array_equal(words.words([index]), whole.words([old.index(piece)]))


def test_making_it_twice_gives_the_same_bundle(source: Path, tmp_path: Path) -> None:
    digests = {
        make_student(source, said("order"), tmp_path / name / "base", pieces=48).digest
        for name in ("a", "b")
    }
    assert len(digests) == 1


def test_without_a_text_nothing_can_be_chosen(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no text"):
        make_student(source, said(), tmp_path / "base", pieces=48)
    assert not (tmp_path / "base").exists()


def test_a_damaged_source_leaves_nothing(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(source.read_bytes()[:3000])
    with pytest.raises(ModelCorruptError):
        make_student(broken, said("order"), tmp_path / "base", pieces=48)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.bin"]


def test_the_command_explains_itself_and_refuses_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"intent": "x"}\n')
    arguments = ["student", "--out", str(tmp_path / "o"), "--text", str(tmp_path / "bad.jsonl")]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 2
    assert "bad.jsonl:1" in json.loads(result.stdout)["error"]["message"]
    assert "edge-convert student" in CliRunner().invoke(app, ["student", "--help"]).stdout
