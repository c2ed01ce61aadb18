"""Labelled lines to learn from, to choose on, and to measure on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from converters.dataset import Row, check_labels, check_typos, read_rows
from converters.encoder.labels import meant
from converters.errors import DatasetError
from converters.evaluate.nlu import dataset_name
from edge_runtime.nlu import Preparation
from edge_runtime.turn import OUT_OF_SCOPE

_HELD_OUT: Final = 10


@dataclass(frozen=True, slots=True)
class Splits:
    """Rows to learn from, to choose the threshold on, and to measure on once.

    ``measured_on`` names the data behind ``test``.
    """

    train: tuple[Row, ...]
    valid: tuple[Row, ...]
    test: tuple[Row, ...]
    measured_on: str


def read_splits(data: Path, *, outside: str = OUT_OF_SCOPE) -> Splits:
    """``train.jsonl``, and ``valid.jsonl`` and ``test.jsonl`` where they are, all checked.

    Without either of the two, every tenth line of an intent is held out to be measured on.

    Raises:
        DatasetError: a file or line is wrong; names it.
    """
    path = data / "train.jsonl"
    train = _with_intents(path, read_rows(path, outside=outside))
    check_typos(path, train)
    intents = {row.intent for row in train if row.intent} - {OUT_OF_SCOPE}
    if len(intents) < 2:
        raise DatasetError("There are fewer than two intents to tell apart.", file=path)
    found: dict[str, tuple[Row, ...]] = {}
    for name in ("valid", "test"):
        other = data / f"{name}.jsonl"
        found[name] = ()
        if other.exists():
            found[name] = _with_intents(other, read_rows(other, outside=outside))
            check_labels(other, found[name], intents)
    if found["test"]:
        return Splits(train, found["valid"], found["test"], dataset_name(data / "test.jsonl"))
    if found["valid"]:
        measured_on = f"{dataset_name(data / 'valid.jsonl')}, which also set the threshold"
        return Splits(train, found["valid"], found["valid"], measured_on)
    kept, held = _hold_out(train)
    if not held:
        raise DatasetError(
            "There are too few lines to measure on.",
            file=path,
            hint=f"Give each intent {_HELD_OUT} lines, or add a valid.jsonl.",
        )
    return Splits(kept, (), held, f"every tenth line of {dataset_name(path)}, held out")


def _with_intents(path: Path, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    for row in rows:
        if row.intent is None:
            raise DatasetError("The line has no 'intent'.", file=path, line=row.line)
    meant(rows, Preparation(None, ()), path)
    return rows


def _hold_out(rows: Sequence[Row]) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    seen: Counter[str | None] = Counter()
    kept: list[Row] = []
    held: list[Row] = []
    for row in rows:
        seen[row.intent] += 1
        (held if seen[row.intent] % _HELD_OUT == 0 else kept).append(row)
    return tuple(kept), tuple(held)
