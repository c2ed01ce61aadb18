"""How well a pack's understanding does on labelled utterances."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from converters.dataset import Row, check_labels, read_rows
from converters.errors import DatasetError
from converters.evaluate.metrics import (
    Pairs,
    entity_f1,
    expected_calibration_error,
    macro_f1,
    share,
)
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import sha256_of
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.errors import TextError
from edge_runtime.nlu import Encoder, Understander
from edge_runtime.nlu.student import Task
from edge_runtime.packs import load_pack, pack_digest
from edge_runtime.turn import OUT_OF_SCOPE, Entity, Understanding

_MIN_DETECTED: Final = 20


@dataclass(frozen=True, slots=True)
class Scored:
    """One labelled row, what was understood, and how long that took where it ran on its own."""

    row: Row
    found: Understanding
    ms: float | None


@dataclass(frozen=True, slots=True)
class NluModel:
    """The encoder's verified files by name, and the heads trained for the pack; without any,
    classifiers are trained from the pack's examples."""

    files: Mapping[str, Path]
    heads: Task | None = None


def evaluate_nlu(
    data: Path,
    pack_dir: Path,
    model: NluModel,
    cache_dir: Path,
    *,
    bars: Mapping[str, Bar],
    threads: int = 1,
    outside: str = OUT_OF_SCOPE,
    progress: Report = silent,
) -> QualityCard:
    """Measure the pack's understanding on ``data``, one utterance at a time.

    Args:
        data: labelled JSON Lines.
        pack_dir: the pack.
        model: what reads them.
        cache_dir: where derived graphs and classifiers are kept.
        bars: what the result has to clear.
        threads: of the encoder.
        outside: the intent that stands for out of scope in ``data``.
        progress: told how far it is.

    Raises:
        DatasetError: the data is broken, or names an intent that the pack lacks.
        PackError: the pack is broken.
        ModelError, EngineError: the encoder cannot be used.
    """
    rows = read_rows(data, outside=outside)
    pack = load_pack(pack_dir)
    check_labels(data, rows, pack.intents)
    progress("preparing", 0.0)
    heads = model.heads
    encoder = Encoder(model.files, threads, heads)
    student = (encoder, heads.labels) if heads else None
    try:
        understander = Understander(pack, encoder, cache_dir, student=student).prepare()
        scored = [
            _understood(understander, data, row, progress, done / len(rows))
            for done, row in enumerate(rows)
        ]
    finally:
        encoder.close()
    files = [*model.files.values(), *([heads.graph] if heads else [])]
    encoder_hashes = sorted(map(sha256_of, files))
    return QualityCard(
        subject=nlu_subject(pack_digest(pack), encoder_hashes),
        dataset=dataset_name(data),
        metrics=metrics(scored),
        bars=dict(bars),
    )


def nlu_subject(pack: str, encoder: Iterable[str]) -> str:
    """Identity of a pack (its digest) understood with one encoder (its files' hashes, sorted)."""
    return hashlib.sha256("\n".join([pack, *encoder]).encode()).hexdigest()


def dataset_name(data: Path) -> str:
    """A data file by name and content."""
    return f"{data.name[:120]} (sha256 {sha256_of(data)[:16]})"


def metrics(scored: Sequence[Scored]) -> dict[str, float]:
    """All that the labels allow to measure: over everything, and by language after a dot.

    Languages are those the data states; detected ones count from 20 utterances on, because a few
    short texts are always taken for another language.
    """
    times = [item.ms for item in scored if item.ms is not None]
    measured = {**_quality(scored), "rows": float(len(scored))}
    if times:
        measured["latency_p50_ms"] = float(np.percentile(times, 50))
        measured["latency_p95_ms"] = float(np.percentile(times, 95))
    by_language: dict[str, list[Scored]] = defaultdict(list)
    for item in scored:
        by_language[item.row.language or item.found.language].append(item)
    if len(by_language) > 1:
        for language, items in sorted(by_language.items()):
            if not items[0].row.language and len(items) < _MIN_DETECTED:
                continue
            of_language = {**_quality(items), "rows": float(len(items))}
            measured |= {f"{name}.{language}": value for name, value in of_language.items()}
    return measured


def _quality(scored: Sequence[Scored]) -> dict[str, float]:
    measured: dict[str, float] = {}
    by_intent = [item for item in scored if item.row.intent is not None]
    if by_intent:
        measured |= _intents(by_intent)
    felt = [item for item in scored if item.row.sentiment is not None]
    if felt:
        measured["sentiment_macro_f1"] = macro_f1(
            [item.found.sentiment for item in felt], [str(item.row.sentiment) for item in felt]
        )
    named = [(item, item.row.entities) for item in scored if item.row.entities is not None]
    if named:
        predicted = [
            frozenset(_as_labelled(entity, truth) for entity in item.found.entities)
            for item, truth in named
        ]
        measured["entity_f1"] = entity_f1(predicted, [truth for _, truth in named])
    return measured


def _as_labelled(entity: Entity, truth: Pairs) -> tuple[str, str]:
    """Type and value, or the words themselves where those are what the line is labelled with."""
    said = (entity.type, entity.text.casefold())
    return said if said in truth else (entity.type, entity.value.casefold())


def _intents(scored: Sequence[Scored]) -> dict[str, float]:
    right = [item.found.intent == item.row.intent for item in scored]
    confidences = [item.found.intent_confidence for item in scored]
    outside = [item.row.intent == OUT_OF_SCOPE for item in scored]
    measured = {
        "intent_accuracy": share(right),
        "intent_ece": expected_calibration_error(confidences, right),
    }
    if not all(outside):
        kept = [hit for hit, out in zip(right, outside, strict=True) if not out]
        measured["in_scope_accuracy"] = share(kept)
    if any(outside):
        turned = [hit for hit, out in zip(right, outside, strict=True) if out]
        measured["out_of_scope_recall"] = share(turned)
    return measured


def _understood(
    understander: Understander, data: Path, row: Row, progress: Report, done: float
) -> Scored:
    started = time.perf_counter()
    try:
        found = understander.understand(row.text, language=row.language)
    except TextError as error:
        raise DatasetError(error.message, file=data, line=row.line, hint=error.hint) from error
    elapsed = (time.perf_counter() - started) * 1000
    progress("understanding", done)
    return Scored(row, found, elapsed)
