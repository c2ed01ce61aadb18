"""The trained reader: its table and its limits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.journal import tagger

CAUTION = tagger.Caution(2.5, 3.0, 1.0, 0.0, -1.0)


def test_the_shipped_table_is_small() -> None:
    assert tagger.TABLE.stat().st_size < 2**20
    assert tagger.shipped() is tagger.shipped()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_read_into_runs_in_order(text: str) -> None:
    at = 0
    for run in tagger.shipped().find(text):
        assert at <= run.start < run.end <= len(text)
        assert run.label in {"name", "address"}
        at = run.end


def test_work_grows_with_the_text_and_not_faster() -> None:
    def features(text: str) -> int:
        tokens = [match[0] for match in tagger.TOKEN.finditer(text)]
        return sum(len(tagger.rows(place)) for place in tagger.places(tokens))

    for unit in ("Anna lives at 12 Oak Street. ", "a", "[", "'", "A-", "9a ", "é.-"):
        assert features(unit * 2_000) <= 2 * features(unit * 1_000) + 200


def test_the_best_chain_beats_every_other() -> None:
    chance = np.random.default_rng(7)
    for _ in range(20):
        scores = chance.normal(size=(5, 3)).astype(np.float32)
        steps = chance.normal(size=(3, 3)).astype(np.float32)
        best = _worth(tuple(tagger.best_chain(scores.tolist(), steps.tolist())), scores, steps)
        every = [_worth(labels, scores, steps) for labels in np.ndindex(*(3,) * 5)]
        assert best == pytest.approx(max(every), rel=1e-5)


def _worth(
    labels: tuple[int, ...], scores: NDArray[np.float32], steps: NDArray[np.float32]
) -> float:
    moves = sum(float(steps[one, two]) for one, two in pairwise(labels))
    return moves + sum(float(scores[at, label]) for at, label in enumerate(labels))


def test_a_table_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    weights = np.zeros((3, tagger.BUCKETS), np.int8)
    weights[1, :50] = 7
    for name in ("one", "two"):
        tagger.save(tmp_path / name, weights, np.eye(3, dtype=np.float32), CAUTION)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    tagger.Tagger.load(tmp_path / "one")


def test_a_table_of_another_shape_is_refused(tmp_path: Path) -> None:
    tagger.save(tmp_path / "t", np.zeros((2, 9), np.int8), np.eye(2, dtype=np.float32), CAUTION)
    with pytest.raises(ValueError, match="no table"):
        tagger.Tagger.load(tmp_path / "t")


TEXTS = [
    "please give the coat to Ingrid Nilsen", "give it to Ingrid", "把外套给栾佳佳", "栾佳佳的外套",
    "please give the coat to [NAME:12345678] Nilsen", "send it to 18 rue des Lilas, 69003 Lyon",
]  # fmt: skip


def test_what_was_read_before_is_read_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagger, "_KNOWN", 20)
    one = tagger.Tagger.load(tagger.TABLE)
    for text in [*TEXTS, *reversed(TEXTS)]:
        assert list(one.find(text)) == list(tagger.Tagger.load(tagger.TABLE).find(text))


def test_a_second_reading_weighs_only_what_has_new_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weighed: list[str] = []
    rows = tagger.rows

    def counted(place: tagger.Place) -> list[int]:
        weighed.append(place.here)
        return rows(place)

    monkeypatch.setattr(tagger, "rows", counted)
    reader = tagger.Tagger.load(tagger.TABLE)
    list(reader.find("Where is the blue coat that Ingrid ordered for the shop in town"))
    assert len(weighed) == 13
    weighed.clear()
    list(reader.find("Where is the blue coat that [NAME:12345678] ordered for the shop in town"))
    assert weighed == ["coat", "that", "[NAME:12345678]", "ordered", "for"]
