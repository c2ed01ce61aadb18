"""From labelled lines to classifiers on the frozen encoder, calibrated and with a quality card."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from converters.dataset import Row, check_labels, check_typos, read_rows
from converters.errors import DatasetError, OptionError
from converters.evaluate.cards import write_card
from converters.evaluate.machine import machine_name
from converters.evaluate.nlu import dataset_name
from converters.nlu_heads import Heads, best_threshold, measure, normalized, recalibrated
from converters.progress import Report, silent
from edge_runtime import __version__
from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.documents import canonical_json
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.errors import StorageError
from edge_runtime.files import sync_folder, write_atomic
from edge_runtime.nlu import Embedder, Vectors
from edge_runtime.nlu.heads import dump
from edge_runtime.turn import OUT_OF_SCOPE

INTENTS: Final = "intents.npz"
SENTIMENT: Final = "sentiment.npz"
LABELS: Final = "labels.json"
_BATCH: Final = 256
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


@dataclass(frozen=True, slots=True)
class TrainedNlu:
    """Where the bundle is, the hash of its manifest, its threshold and its card."""

    path: Path
    digest: str
    threshold: float
    card: QualityCard


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


def train_nlu(
    data: Path,
    out: Path,
    encoder: Embedder,
    *,
    bars: Mapping[str, Bar],
    outside: str = OUT_OF_SCOPE,
    rejection_cost: float = 0.01,
    progress: Report = silent,
) -> TrainedNlu:
    """Train on ``data`` and write the bundle folder ``out``, whole or not at all.

    Args:
        data: folder of ``train.jsonl`` and perhaps ``valid.jsonl`` and ``test.jsonl``.
        out: a folder that does not exist yet: ``manifest.json``, ``files/`` and the card.
        encoder: gives the vectors; the bundle works with this encoder only.
        bars: what the card has to clear.
        outside: the intent that stands for out of scope in the data.
        rejection_cost: how much in-scope accuracy turning doubtful utterances away may cost on
            the validation lines, in [0, 1].
        progress: told how far it is.

    Raises:
        DatasetError: the data is broken.
        OptionError: ``out`` exists.
        EngineError: the encoder failed.
        StorageError: ``out`` cannot be written.
    """
    if out.exists():
        raise OptionError(f"{out} exists already.", hint="Name a new folder, or remove it.")
    splits = read_splits(data, outside=outside)
    heads = Heads.fit(splits.train, _vectors(splits.train, encoder, "train", progress), progress)
    threshold = 0.5
    if splits.valid:
        vectors = _vectors(splits.valid, encoder, "valid", progress)
        heads = recalibrated(heads, splits.valid, vectors)
        threshold = best_threshold(heads, splits.valid, vectors, rejection_cost)
    progress("measuring", 0.0)
    found = measure(heads, splits.test, encoder, threshold)
    files = _files(heads, encoder.fingerprint, threshold)
    subject = hashlib.sha256(files[LABELS]).hexdigest()
    card = QualityCard(subject, splits.measured_on, found, dict(bars))
    manifest = _manifest(out, files)
    _write(out, files, manifest, card)
    return TrainedNlu(out, manifest.digest, threshold, card)


def _with_intents(path: Path, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    for row in rows:
        if row.intent is None:
            raise DatasetError("The line has no 'intent'.", file=path, line=row.line)
        normalized(row, path)
    return rows


def _hold_out(rows: Sequence[Row]) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    seen: Counter[str | None] = Counter()
    kept: list[Row] = []
    held: list[Row] = []
    for row in rows:
        seen[row.intent] += 1
        (held if seen[row.intent] % _HELD_OUT == 0 else kept).append(row)
    return tuple(kept), tuple(held)


def _vectors(rows: Sequence[Row], encoder: Embedder, name: str, progress: Report) -> Vectors:
    parts = []
    for start in range(0, len(rows), _BATCH):
        progress(f"encoding {name}", start / len(rows))
        batch = [normalized(row) for row in rows[start : start + _BATCH]]
        parts.append(encoder.encode(batch, "query"))
    return np.concatenate(parts)


def _files(heads: Heads, encoder: str, threshold: float) -> dict[str, bytes]:
    files = {INTENTS: dump(heads.intents)}
    if heads.sentiment is not None:
        files[SENTIMENT] = dump(heads.sentiment)
    labels = {
        "schema": 1,
        "encoder": encoder,
        "threshold": threshold,
        "intents": heads.intents.classes.tolist(),
        "sentiments": [] if heads.sentiment is None else heads.sentiment.classes.tolist(),
        "heads": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return {**files, LABELS: canonical_json(labels)}


def _manifest(out: Path, files: Mapping[str, bytes]) -> BundleManifest:
    components = tuple(
        Component(
            name,
            len(content),
            hashlib.sha256(content).hexdigest(),
            Path(name).suffix.removeprefix("."),
            "as the training data",
        )
        for name, content in files.items()
    )
    return BundleManifest(_name(out), "1", __version__, components)


def _name(out: Path) -> str:
    letters = "".join(char if char.isascii() and char.isalnum() else "-" for char in out.name)
    return f"nlu-{letters}"[:64]


def _write(
    out: Path, files: Mapping[str, bytes], manifest: BundleManifest, card: QualityCard
) -> None:
    partial = out.with_name(f".{out.name}.partial")
    try:
        with storage_errors(out):
            shutil.rmtree(partial, ignore_errors=True)
            for name, content in files.items():
                write_atomic(partial / "files" / name, content)
            write_atomic(partial / "manifest.json", manifest.to_json())
            facts = {"machine": machine_name(), "encoder": json.loads(files[LABELS])["encoder"]}
            write_card(card, partial / "card.json", title=manifest.name, facts=facts)
            partial.rename(out)
            sync_folder(out.parent)
    except StorageError as error:
        raise StorageError(
            error.message, hint="Free some space, or name another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
