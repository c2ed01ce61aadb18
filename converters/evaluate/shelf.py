"""What was measured of a model, on disk, so that a run that ended early is gone on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.evaluate.engines import model_digest
from converters.evaluate.llm import Conditions, asked, run_measure
from converters.evaluate.machine import machine_name
from converters.outputs import unfinished_folder
from converters.progress import Report
from edge_runtime import __version__
from edge_runtime.bundles.blobs import sha256_of
from edge_runtime.bundles.documents import canonical_json
from edge_runtime.files import write_atomic


@dataclass(frozen=True, slots=True)
class Taken:
    """The figures of one model, and what it replied to the questions of the task."""

    metrics: Mapping[str, float]
    replies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Measurements under ``conditions`` against ``reference``, in ``folder``."""

    folder: Path
    reference: Path
    conditions: Conditions

    def open(self) -> AbstractContextManager[None]:
        """Hold the folder; what was measured of another reference, under other conditions or on
        another machine is thrown away.

        Raises:
            OptionError: another process holds it.
            StorageError: it cannot be written.
        """
        return unfinished_folder(self.folder, self._key(), for_=self.folder)

    def measured(self, model: Path, progress: Report) -> Taken:
        """What is kept of ``model``, or else measured now and kept; the reference goes first.

        Raises:
            ConversionError: an engine failed, or the reference has another vocabulary.
        """
        file = self.folder / f"{model_digest(model)}.json"
        expected = self.folder / "reference.npz"
        if file.exists():
            kept: dict[str, Any] = json.loads(file.read_bytes())
            return Taken(kept["metrics"], tuple(kept["replies"]))
        first = model is self.reference
        metrics = run_measure(
            model,
            self.conditions,
            progress,
            step=f"measuring {model.name}",
            reference=None if first else expected,
            save=expected if first else None,
        )
        taken = Taken(metrics, asked(model, self.conditions, progress))
        write_atomic(file, canonical_json(asdict(taken)))
        return taken

    def _key(self) -> str:
        given = self.conditions
        questions = (*given.task.questions, *given.task.hoped) if given.task else ()
        parts = [
            *(__version__, machine_name(), model_digest(self.reference), sha256_of(given.text)),
            *(given.max_tokens, given.threads, [asdict(question) for question in questions]),
        ]
        return hashlib.sha256(canonical_json(parts)).hexdigest()
