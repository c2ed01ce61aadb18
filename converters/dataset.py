"""Labelled text: JSON Lines of ``{"text", "intent", "sentiment", "entities", "lang"}``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

from converters.errors import DatasetError
from converters.jsonlines import json_lines
from edge_runtime.turn import GENERAL_INTENTS, OUT_OF_SCOPE, Sentiment

SENTIMENTS: Final[tuple[str, ...]] = get_args(Sentiment)
_MAX_LINE_BYTES: Final = 100_000
_MAX_LABEL_CHARS: Final = 120
_MAX_ENTITIES: Final = 100
_LIKENESS: Final = 80.0
_TYPO_LIKENESS: Final = 90.0
_SHORTEST: Final = 4
"""Letters from which on a label that is one slip away from another is no other word."""
_COMMON: Final = 5
_SHAPE: Final = 'Each line looks like {"text": "where is my order?", "intent": "order_status"}.'


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled utterance; what is not labelled is ``None``. ``line`` is 1-based."""

    line: int
    text: str
    intent: str | None
    sentiment: str | None
    entities: frozenset[tuple[str, str]] | None
    language: str | None


def read_rows(path: Path, *, outside: str = OUT_OF_SCOPE) -> tuple[Row, ...]:
    """Read labelled text; the intent ``outside`` is read as out of scope.

    Raises:
        DatasetError: the file is missing or empty, or a line is wrong; names file and line.
    """
    rows = tuple(_rows(path, outside))
    if not rows:
        raise DatasetError("The file holds no lines.", file=path, hint=_SHAPE)
    return rows


def check_labels(path: Path, rows: Sequence[Row], known: Collection[str]) -> None:
    """Hold every intent against the known ones.

    Raises:
        DatasetError: a row's intent is not among them; suggests the likeliest.
    """
    for row in rows:
        if row.intent is not None and row.intent not in {*known, *GENERAL_INTENTS}:
            raise DatasetError(
                f"The intent '{row.intent}' is unknown.",
                file=path,
                line=row.line,
                hint=suggestion(row.intent, known),
            )


def check_typos(path: Path, rows: Sequence[Row]) -> None:
    """Refuse an intent that occurs once and is spelt almost like a common one: nine tenths alike,
    or but for a letter too many, missing, wrong, or swapped with the next.

    Raises:
        DatasetError: there is one.
    """
    counts = Counter(row.intent for row in rows if row.intent is not None)
    common = [label for label, count in counts.items() if count >= _COMMON]
    for row in rows:
        if row.intent is None or counts[row.intent] > 1:
            continue
        if meant := _mistyped(row.intent, common):
            raise DatasetError(
                f"The intent '{row.intent}' occurs only here.",
                file=path,
                line=row.line,
                hint=f"Did you mean '{meant}'? If not, give it a second example.",
            )


def _mistyped(label: str, common: Sequence[str]) -> str | None:
    """Which of the common labels it is spelt almost like, if any."""
    if alike := process.extractOne(label, common, scorer=fuzz.ratio, score_cutoff=_TYPO_LIKENESS):
        return alike[0]
    if len(label) < _SHORTEST:
        return None
    slipped = process.extractOne(label, common, scorer=OSA.distance, score_cutoff=1)
    return slipped[0] if slipped else None


def suggestion(word: str, known: Collection[str]) -> str:
    """ "Did you mean …?", or what there is to choose from."""
    found = process.extractOne(word, sorted(known), scorer=fuzz.ratio, score_cutoff=_LIKENESS)
    if found:
        return f"Did you mean '{found[0]}'?"
    shown = ", ".join(sorted(known)[:12])
    return f"Known are: {shown}{', …' if len(known) > 12 else ''}."


def _rows(path: Path, outside: str) -> Iterator[Row]:
    for number, value in json_lines(path, longest=_MAX_LINE_BYTES, hint=_SHAPE):
        yield _Line(path, number).row(value, outside)


@dataclass(frozen=True, slots=True)
class _Line:
    path: Path
    number: int

    def row(self, value: Any, outside: str) -> Row:
        if not isinstance(value, dict):
            raise self._wrong("The line is not a JSON object.")
        text = value.get("text")
        if not isinstance(text, str) or not text.strip():
            raise self._wrong("The line has no 'text'.")
        intent = self._label(value, "intent")
        sentiment = self._label(value, "sentiment")
        if sentiment is not None and sentiment not in SENTIMENTS:
            raise self._wrong(
                f"The sentiment '{sentiment}' is unknown.", suggestion(sentiment, SENTIMENTS)
            )
        return Row(
            self.number,
            text,
            OUT_OF_SCOPE if intent == outside else intent,
            sentiment,
            self._entities(value),
            self._label(value, "lang") or self._label(value, "language"),
        )

    def _label(self, value: Mapping[str, Any], key: str) -> str | None:
        label = value.get(key)
        if label is None:
            return None
        if not isinstance(label, str) or not 0 < len(label) <= _MAX_LABEL_CHARS:
            raise self._wrong(f"'{key}' is not a short text.")
        return label

    def _entities(self, value: Mapping[str, Any]) -> frozenset[tuple[str, str]] | None:
        """``{"type": value}`` or ``{"type": [value, …]}`` as pairs, values as lower-case text."""
        given = value.get("entities")
        if given is None:
            return None
        if not isinstance(given, dict) or len(given) > _MAX_ENTITIES:
            raise self._wrong("'entities' is not an object of types and values.")
        pairs = []
        for kind, values in given.items():
            for item in values if isinstance(values, list) else [values]:
                if not isinstance(item, str | int | float):
                    raise self._wrong(f"The value of entity '{kind}' is neither text nor number.")
                pairs.append((kind, str(item).casefold()))
        return frozenset(pairs)

    def _wrong(self, message: str, hint: str = _SHAPE) -> DatasetError:
        return DatasetError(message, file=self.path, line=self.number, hint=hint)
