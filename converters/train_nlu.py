"""From labelled lines to heads on the student encoder, calibrated and with a quality card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from converters.children import run_module
from converters.dataset import Row
from converters.encoder import calibrating
from converters.encoder.labels import (
    Names,
    label_arrays,
    meant,
    names_of,
    with_names,
    without_lost_tags,
)
from converters.encoder.settings import METHOD, TaskSettings
from converters.encoder.states import Trunk, write_states
from converters.encoder.student import bundle_manifest, depth_of
from converters.evaluate.cards import write_card
from converters.evaluate.machine import machine_name
from converters.evaluate.metrics import share
from converters.evaluate.nlu import Scored, metrics
from converters.outputs import resumable_folder
from converters.progress import Report, silent
from converters.splits import Splits, read_splits
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.documents import canonical_json
from edge_runtime.config import Settings
from edge_runtime.files import write_atomic
from edge_runtime.modelfiles import LABELS, TASK, WORDS
from edge_runtime.nlu import Preparation, TaskLabels, Vectors, examples_digest
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.student import base_fingerprint
from edge_runtime.packs import Pack, load_pack
from edge_runtime.trained import opened_bundle
from edge_runtime.turn import GENERAL_INTENTS, OUT_OF_SCOPE

CARD: Final = "card.json"
_MANIFEST: Final = "manifest.json"
_LICENCE: Final = "as the training data"
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class TrainedNlu:
    """Where the bundle is, the hash of its manifest, its threshold and its card."""

    path: Path
    digest: str
    threshold: float
    card: QualityCard


@dataclass(frozen=True, slots=True)
class Device:
    """What the heads are for: the student's files by name, the ``source`` it was made from, whose
    upper layers training starts with, and the settings, which name the pack."""

    base: Mapping[str, Path]
    source: Path
    settings: Settings


def train_nlu(
    data: Path,
    out: Path,
    device: Device,
    *,
    bars: Mapping[str, Bar],
    outside: str = OUT_OF_SCOPE,
    how: TaskSettings | None = None,
    threads: int = 2,
    progress: Report = silent,
) -> TrainedNlu:
    """Train on ``data`` and write the bundle folder ``out``, whole or not at all.

    A killed run continues where it was when it is started again with the same arguments.

    Args:
        data: folder of ``train.jsonl`` and perhaps ``valid.jsonl`` and ``test.jsonl``. Where all
            three are, the second is learnt, too, after a network without it has set calibration
            and threshold.
        out: a folder that does not exist yet: ``manifest.json``, ``files/`` and the card.
        device: the bundle works with its base only; its pack's words are looked for where the
            intents are the pack's.
        bars: what the card has to clear.
        outside: the intent that stands for out of scope in the data.
        how: how to train; the defaults where ``None``.
        threads: of training.
        progress: told how far it is.

    Raises:
        DatasetError: the data is broken.
        OptionError: ``out`` exists.
        ConversionError: training failed.
        EngineError, ModelError: the encoder cannot be used.
        StorageError: ``out`` cannot be written.
    """
    how = how or TaskSettings()
    splits = read_splits(data, outside=outside)
    pack = load_pack(device.settings.pack_dir)
    key = _key(splits, device.base, pack, how)
    with resumable_folder(out, key) as folder:
        run = _Run(folder, splits, device, how, threads, progress)
        labels, held_out = run.train(data, pack)
        files = {TASK: run.task.read_bytes(), LABELS: _labels_json(labels, run.task)}
        write_atomic(folder / "files" / LABELS, files[LABELS])
        manifest = bundle_manifest(f"nlu-{out.name}", files, _LICENCE)
        write_atomic(folder / _MANIFEST, manifest.to_json())
        found = {**run.measure(), **held_out, "threshold": labels.threshold, **run.whole()}
        subject = hashlib.sha256(files[LABELS]).hexdigest()
        card = QualityCard(subject, splits.measured_on, found, dict(bars))
        facts = {"machine": machine_name(), "encoder": labels.encoder}
        write_card(card, folder / CARD, title=manifest.name, facts=facts)
    return TrainedNlu(out, manifest.digest, labels.threshold, card)


@dataclass(frozen=True, slots=True)
class _Run:
    """The steps that share the folder ``folder``."""

    folder: Path
    splits: Splits
    device: Device
    how: TaskSettings
    threads: int
    progress: Report

    @property
    def task(self) -> Path:
        return self.folder / "files" / TASK

    def train(self, data: Path, pack: Pack) -> tuple[TaskLabels, Mapping[str, float]]:
        """Write ``task.onnx``; returns what its outputs mean and when to trust them, and what the
        threshold does to the lines that it was chosen on."""
        train, valid = with_names(self.splits.train), self.splits.valid
        names = names_of(train)
        own = set(names.intents) - GENERAL_INTENTS
        lexicon = pack.lexicon if own <= pack.intents.keys() else None
        preparation = Preparation(lexicon, pack.languages)
        texts = meant(train, preparation, data / "train.jsonl")
        texts += meant(valid, preparation, data / "valid.jsonl")
        rows = [*train, *valid]
        trunk = Trunk(self.device.base, 1)
        pieces = [trunk.pieces(text) for text in texts]
        arrays = label_arrays(rows, texts, pieces, names, preparation)
        names = without_lost_tags(names, arrays)
        labels = TaskLabels(
            encoder=base_fingerprint(self.device.base),
            intents=names.intents,
            sentiments=names.sentiments,
            tags=names.tags,
            # Heads that have seen nothing out of scope cannot know it.
            threshold=calibrating.HALF if names.outside >= 0 else 0.0,
            calibration=calibrating.PLAIN,
            sentiment_temperature=1.0,
            pack=examples_digest(pack) if own == pack.intents.keys() else None,
        )
        if not self.task.exists():
            states = self.folder / ".states"
            if not (states / "offsets.npy").exists():
                write_states(pieces, trunk, states, self.progress)
            np.savez(self.folder / ".labels.npz", allow_pickle=False, **arrays)
            tested = meant(self.splits.test, preparation, data / "test.jsonl")
            self._fit(names, [trunk.pieces(text).ids for text in tested])
        self.progress("calibrating", 0.0)
        with np.load(self._apart, allow_pickle=False) as said:
            heard = [rows[row] for row in said["rows"]]
            return self._calibrated(labels, heard, said["intents"], said["sentiments"])

    @property
    def _apart(self) -> Path:
        return self.folder / ".apart.npz"

    def _fit(self, names: Names, tested: list[list[int]]) -> None:
        write_atomic(self.folder / ".tested.json", json.dumps(tested).encode())
        scratch = self.folder / ".scratch"
        scratch.mkdir(exist_ok=True)
        self.task.parent.mkdir(exist_ok=True)
        job = {
            "source": str(self.device.source),
            "words": str(self.device.base[WORDS]),
            "depth": depth_of(E5File(self.device.source).shape),
            "states": str(self.folder / ".states"),
            "labels": str(self.folder / ".labels.npz"),
            "sizes": {
                "intents": len(names.intents),
                "sentiments": len(names.sentiments),
                "tags": len(names.tags),
            },
            "outside": names.outside,
            "valid": len(self.splits.valid),
            "again": self.splits.valid != self.splits.test,
            "lent": len(self.splits.train),
            "apart": str(self._apart),
            "scratch": str(scratch),
            "tested": str(self.folder / ".tested.json"),
            "whole": str(self.folder / ".whole.npy"),
            "out": str(self.task),
            "threads": self.threads,
            "settings": asdict(self.how),
        }
        path = self.folder / ".job.json"
        write_atomic(path, json.dumps(job).encode())
        run_module("converters.encoder.fit", [str(path)], step="training", progress=self.progress)

    def _calibrated(
        self, labels: TaskLabels, rows: Sequence[Row], intents: Vectors, feelings: Vectors
    ) -> tuple[TaskLabels, Mapping[str, float]]:
        """``labels`` with what ``rows``, not learnt from, say of the logits (n, k) and (n, s), and
        what their threshold does to these rows."""
        wanted = [str(row.intent) for row in rows]
        found = calibrating.calibration(intents, labels.intents, wanted)
        best, sure = calibrating.chances(intents, labels.intents, found)
        felt = {name: index for index, name in enumerate(labels.sentiments)}
        by_row = np.array([felt.get(row.sentiment, -1) for row in rows], np.int64)  # type: ignore[call-overload]
        threshold, held_out = labels.threshold, {}
        if OUT_OF_SCOPE in labels.intents:
            cost = self.how.rejection_cost
            threshold = calibrating.threshold(best, sure, labels.intents, wanted, cost)
            held_out = calibrating.shares(best, sure, labels.intents, wanted, threshold)
        calibrated = replace(
            labels,
            calibration=found,
            threshold=threshold,
            sentiment_temperature=calibrating.temperature(feelings, by_row) if felt else 1.0,
        )
        return calibrated, held_out

    def measure(self) -> dict[str, float]:
        """The measures of the card, of the bundle as a device would open it."""
        rows = self.splits.test
        scored: list[Scored] = []
        with opened_bundle(self.folder, self.device.settings, self.device.base) as understander:
            for row in rows:
                found = understander.understand(row.text, language=row.language)
                # What these heads do not answer must not count against them.
                scored.append(Scored(row, found, None))
                if len(scored) % _BATCH == 0:
                    self.progress("measuring", len(scored) / len(rows))
        measured = metrics(scored)
        inside = [
            one.found.candidates[0][0] == one.row.intent
            for one in scored
            if one.row.intent != OUT_OF_SCOPE
        ]
        return {**measured, "in_scope_argmax": share(inside)} if inside else measured

    def whole(self) -> dict[str, float]:
        """What the network scores in 32 bits, to hold the device's 8 against."""
        path = self.folder / ".whole.npy"
        if not path.exists():
            return {}
        logits: Vectors = np.load(path, allow_pickle=False)
        names = names_of(self.splits.train)
        best, _ = calibrating.chances(logits, names.intents, calibrating.PLAIN)
        inside = [
            names.intents[int(index)] == row.intent
            for index, row in zip(best, self.splits.test, strict=True)
            if row.intent != OUT_OF_SCOPE
        ]
        return {"in_scope_argmax_fp32": share(inside)} if inside else {}


def _key(splits: Splits, base: Mapping[str, Path], pack: Pack, how: TaskSettings) -> str:
    """Identity of all that decides the result."""
    rows = [
        [row.text, row.intent, row.sentiment, sorted(row.entities or ()), row.language]
        for part in (splits.train, splits.valid, splits.test)
        for row in part
    ]
    parts = [METHOD, rows, base_fingerprint(base), examples_digest(pack), asdict(how)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


def _labels_json(labels: TaskLabels, task: Path) -> bytes:
    head = hashlib.sha256(task.read_bytes()).hexdigest()
    return canonical_json({"schema": 2, **asdict(labels), "heads": {TASK: head}})
