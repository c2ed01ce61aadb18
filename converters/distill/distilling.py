"""Teacher → student: on the teacher's replies, then on the student's own, with a table of both."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from converters.checkpoints import open_base
from converters.children import run_module
from converters.distill.conversations import read_conversations
from converters.distill.picture import draw_losses
from converters.distill.replies import Teacher, collect_replies
from converters.distill.settings import DistillSettings
from converters.distill.vocabulary import difference
from converters.errors import DatasetError, ModelFileError
from converters.evaluate.engines import model_digest, model_size
from converters.outputs import resumable_folder
from converters.progress import Report, silent
from edge_runtime.bundles.blobs import require_space, sha256_of
from edge_runtime.bundles.documents import canonical_json
from edge_runtime.files import write_atomic

_HELD_OUT: Final = 10
_MOST_HELD_OUT: Final = 64
_STUDENT: Final = "student"
_WAYS: Final = {"replies": "from the teacher's replies", "own": "from its own replies"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One row of the table, over the tokens of the teacher's replies to held-out prompts.

    ``mean_kl`` is KL(teacher ‖ student) in nats a token, ``top1_agreement`` the share of tokens
    where both expect the same; ``None`` where their vocabularies differ.
    """

    stage: str
    perplexity: float
    mean_kl: float | None
    top1_agreement: float | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Distilled:
    """The folder made: ``student/`` (Hugging Face), ``replies.jsonl``, ``distilled.json``,
    ``losses.png``."""

    path: Path
    student: Path
    replies: int
    table: tuple[Measured, ...]


def distill(
    teacher: Path,
    student: Path,
    data: Path,
    out: Path,
    settings: DistillSettings | None = None,
    *,
    threads: int = 2,
    progress: Report = silent,
) -> Distilled:
    """Distil ``teacher`` into ``student`` on the prompts of ``data``.

    Every tenth prompt is held out to measure on. A killed run continues where it was when it is
    started again with the same arguments.

    Args:
        teacher: a GGUF file (replies come from llama.cpp) or a Hugging Face folder.
        student: the same; it is only read.
        data: conversations; see :func:`read_conversations`.
        out: a folder that does not exist yet.
        settings: how; the defaults where ``None``.
        threads: of llama.cpp and torch on a processor.
        progress: told how far it is.

    Raises:
        DatasetError: the data is broken, or too short to hold anything out.
        ModelFileError: a checkpoint is unsafe or damaged, or the student is to learn from its own
            replies and the vocabularies differ.
        OptionError: ``out`` exists.
        ConversionError: a step crashed, or the teacher finished no reply.
        StorageError: the disk is full or cannot be written.
    """
    settings = settings or DistillSettings()
    conversations = read_conversations(data)
    said_by = Teacher(teacher, model_digest(teacher))
    key = _key(said_by.digest, model_digest(student), data, settings)
    with resumable_folder(out, key) as folder:
        bases = folder / ".bases"
        small = open_base(student, bases / "student", progress=progress)
        large = open_base(teacher, bases / "teacher", progress=progress)
        same = _check_vocabularies(large, small, settings)
        run = _Run(folder, small, large if same else None, settings, threads, progress)
        replies = collect_replies(
            said_by, conversations, data, folder, settings, threads=threads, progress=progress
        )
        count = run.split(replies)
        table = run.train()
        document = {
            "settings": asdict(settings),
            "teacher": said_by.digest,
            "replies": count,
            "table": [asdict(row) for row in table],
        }
        write_atomic(folder / "distilled.json", json.dumps(document, indent=1).encode())
    return Distilled(out, out / _STUDENT, count, table)


@dataclass(frozen=True, slots=True)
class _Run:
    """The steps that share a folder; each leaves a file or folder behind that says it is done."""

    folder: Path
    student: Path
    teacher: Path | None
    settings: DistillSettings
    threads: int
    progress: Report

    def split(self, replies: Path) -> int:
        """Hold out every tenth reply; returns how many there are.

        Raises:
            DatasetError: there are too few.
        """
        lines = replies.read_bytes().splitlines(keepends=True)
        held = lines[_HELD_OUT - 1 :: _HELD_OUT][:_MOST_HELD_OUT]
        if not held:
            raise DatasetError(
                f"The teacher finished {len(lines)} replies, too few to measure on.",
                file=replies,
                hint=f"Give at least {_HELD_OUT} prompts it can answer.",
            )
        apart = set(held)
        write_atomic(self._held, b"".join(held))
        write_atomic(self._train, b"".join(line for line in lines if line not in apart))
        return len(lines)

    def train(self) -> tuple[Measured, ...]:
        """Both parts of the training, each measured; ends with the student in its place."""
        table: list[Measured] = []
        current = self.student
        for way, step in _WAYS.items():
            wanted = self.settings.epochs if way == "replies" else self.settings.on_policy_steps
            if wanted:
                current = self._trained(way, step, current)
                found = json.loads(self._measured(way).read_bytes())
                table = table or [_measured("untrained", found["before"])]
                table.append(_measured(step, found["after"]))
        draw_losses({s: self._losses(w) for w, s in _WAYS.items()}, self.folder / "losses.png")
        final = self.folder / _STUDENT
        shutil.rmtree(final, ignore_errors=True)
        shutil.copytree(current, final, copy_function=os.link)
        return tuple(table)

    def _trained(self, way: str, step: str, student: Path) -> Path:
        made = self.folder / f".{way}"
        if made.exists():
            return made
        # Weights, their copy being written, and optimiser state of a checkpoint.
        require_space(self.folder, 4 * model_size(student))
        scratch = self.folder.resolve() / f".{way}.checkpoints"
        job = {
            "way": way,
            "student": str(student.resolve()),
            "teacher": str(self.teacher.resolve()) if self.teacher else None,
            "data": str(self._train.resolve()),
            "held": str(self._held.resolve()),
            "out": str(made.resolve()),
            "scratch": str(scratch),
            "losses": str(self._losses(way).resolve()),
            "measured": str(self._measured(way).resolve()),
            "settings": asdict(self.settings),
            "threads": self.threads,
        }
        run_module(
            "converters.distill.fit",
            [json.dumps(job)],
            step=f"learning {step}",
            progress=self.progress,
        )
        shutil.rmtree(scratch, ignore_errors=True)
        return made

    def _measured(self, way: str) -> Path:
        return self.folder / f".{way}.measured.json"

    def _losses(self, way: str) -> Path:
        return self.folder / f".{way}.losses.jsonl"

    @property
    def _held(self) -> Path:
        return self.folder / ".held.jsonl"

    @property
    def _train(self) -> Path:
        return self.folder / ".train.jsonl"


def _measured(stage: str, found: Mapping[str, float]) -> Measured:
    return Measured(
        stage,
        found["perplexity"],
        found.get("mean_kl"),
        found.get("top1_agreement"),
        int(found["tokens"]),
    )


def _check_vocabularies(teacher: Path, student: Path, settings: DistillSettings) -> bool:
    """Whether they are the same.

    Raises:
        ModelFileError: they are not, but have to be.
    """
    differing = difference(teacher, student)
    if differing and settings.on_policy_steps:
        raise ModelFileError(
            f"Teacher and student have different vocabularies ({differing}), so the student's own "
            "replies cannot be held against the teacher.",
            hint="Choose a student of the same family, or leave that part out (0 steps).",
        )
    return not differing


def _key(teacher: str, student: str, data: Path, settings: DistillSettings) -> str:
    parts = [teacher, student, sha256_of(data), asdict(settings)]
    return hashlib.sha256(canonical_json(parts)).hexdigest()
