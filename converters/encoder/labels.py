"""Labelled rows as the network wants them: prepared texts, and labels by index."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from converters.dataset import SENTIMENTS, Row
from converters.encoder.settings import FEW, UNKNOWN
from converters.errors import DatasetError
from edge_runtime.errors import TextError
from edge_runtime.nlu import Preparation
from edge_runtime.nlu.tags import RULED
from edge_runtime.nlu.tokenizer import Pieces
from edge_runtime.turn import GENERAL_INTENTS, OUT_OF_SCOPE, Sentiment

Indexes = npt.NDArray[np.int64]
_TODAY: Final = date(2026, 1, 15)
_OUTSIDE_TAG: Final = "O"
_LEAST_FOUND: Final = 0.5
_WORD: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Names:
    """What the outputs stand for; an empty tuple where the data does not label it."""

    intents: tuple[str, ...]
    sentiments: tuple[Sentiment, ...]
    tags: tuple[str, ...]

    @property
    def outside(self) -> int:
        """Index of out of scope, or -1."""
        return self.intents.index(OUT_OF_SCOPE) if OUT_OF_SCOPE in self.intents else -1


def names_of(rows: Sequence[Row]) -> Names:
    """What ``rows`` label; entities only of types that the device has no rule for."""
    felt = {row.sentiment for row in rows if row.sentiment is not None}
    kinds = sorted({kind for row in rows for kind, _ in row.entities or ()} - RULED)
    tags = [f"{mark}-{kind}" for kind in kinds for mark in "BI"]
    return Names(
        tuple(sorted({str(row.intent) for row in rows})),
        tuple(cast(Sentiment, one) for one in SENTIMENTS if one in felt) if len(felt) > 1 else (),
        (_OUTSIDE_TAG, *tags) if tags else (),
    )


def with_names(rows: Sequence[Row]) -> Sequence[Row]:
    """``rows``, and for intents with few of them one that says the intent's name in words.

    What a label means helps most where examples are scarce (Luo et al., "Don't Miss the Labels:
    Label-semantic Augmented Meta-Learner for Few-Shot Text Classification", ACL Findings 2021).
    """
    counts = Counter(str(row.intent) for row in rows)
    said = {
        name: " ".join(_WORD.findall(name))
        for name, count in counts.items()
        if count < FEW and name not in GENERAL_INTENTS
    }
    return [*rows, *(_spoken(name, text) for name, text in said.items() if text)]


def _spoken(intent: str, text: str) -> Row:
    return Row(0, text, intent, sentiment=None, entities=None, language=None)


def meant(rows: Sequence[Row], preparation: Preparation, path: Path) -> list[str]:
    """Each row as the device would hand it to the encoder.

    Raises:
        DatasetError: there is nothing readable in a row; names ``path`` and the line.
    """
    found = []
    for row in rows:
        try:
            found.append(preparation.prepare(row.text, _TODAY, language=row.language).meant)
        except TextError as error:
            raise DatasetError(error.message, file=path, line=row.line) from error
    return found


def label_arrays(
    rows: Sequence[Row],
    texts: Sequence[str],
    pieces: Sequence[Pieces],
    names: Names,
    preparation: Preparation,
) -> Mapping[str, Indexes]:
    """``intents`` (n), ``sentiments`` (n) and ``tags`` (all tokens, one after the other)."""
    feelings = {name: index for index, name in enumerate(names.sentiments)}
    tags = [
        _tags(row, text, cut, names.tags, preparation)
        for row, text, cut in zip(rows, texts, pieces, strict=True)
    ]
    return {
        "intents": intent_indexes(rows, names),
        "sentiments": np.array(
            [feelings.get(cast(Sentiment, row.sentiment), UNKNOWN) for row in rows], np.int64
        ),
        "tags": np.concatenate(tags) if tags else np.zeros(0, np.int64),
    }


def intent_indexes(rows: Sequence[Row], names: Names) -> Indexes:
    """Of each row's intent, (n), unknown where it is none of ``names``."""
    intents = {name: index for index, name in enumerate(names.intents)}
    return np.array([intents.get(str(row.intent), UNKNOWN) for row in rows], np.int64)


def without_lost_tags(names: Names, arrays: Mapping[str, Indexes]) -> Names:
    """``names`` without tags where most values do not stand in their texts: such data labels
    meanings, not stretches of text."""
    known = arrays["tags"][arrays["tags"] != UNKNOWN]
    if names.tags and len(known) < _LEAST_FOUND * len(arrays["tags"]):
        return Names(names.intents, names.sentiments, ())
    return names


def _tags(
    row: Row, text: str, pieces: Pieces, tags: Sequence[str], preparation: Preparation
) -> Indexes:
    out = np.full(len(pieces.ids), UNKNOWN, np.int64)
    if row.entities is None or not tags:
        return out
    if any(f"B-{kind}" not in tags for kind, _ in row.entities if kind not in RULED):
        return out
    marked = np.zeros(len(text), np.int64)
    for kind, value in sorted(row.entities, key=lambda pair: (-len(pair[1]), pair)):
        if kind in RULED:
            continue
        start = _find(text, value, marked, preparation, row.language)
        if start is None:
            return out
        begin, size = start
        marked[begin : begin + size] = tags.index(f"I-{kind}")
        marked[begin] = tags.index(f"B-{kind}")
    for place, (start_char, end_char) in enumerate(pieces.spans):
        if start_char < end_char:
            # A piece may begin with the space before a word.
            inside = [int(tag) for tag in marked[start_char:end_char] if tag]
            out[place] = inside[0] if inside else tags.index(_OUTSIDE_TAG)
    return out


def _find(
    text: str, value: str, marked: Indexes, preparation: Preparation, language: str | None
) -> tuple[int, int] | None:
    """Where ``value`` stands in ``text`` untaken, as it is or as the device would write it."""
    folded = text.casefold()
    if len(folded) != len(text):
        return None
    forms = [value]
    try:
        forms.append(preparation.prepare(value, _TODAY, language=language).normalized.casefold())
    except TextError:
        return None
    for form in forms:
        start = folded.find(form)
        while start >= 0:
            if not marked[start : start + len(form)].any():
                return start, len(form)
            start = folded.find(form, start + 1)
    return None
