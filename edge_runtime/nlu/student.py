"""The student encoder's files: a base that every task shares, and the heads of one task.

Base: ``words.bin`` (tokeniser, word table, positions), ``pieces.npy`` (its index), ``trunk.onnx``
(lower layers), ``embedding.onnx`` (upper layers of the frozen encoder: the vector that retrieval
compares). Task: ``task.onnx`` (upper layers trained for it, with its heads) and ``labels.json``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_runtime.errors import ModelCorruptError, ModelMissingError
from edge_runtime.modelfiles import EMBEDDING, LABELS, TASK, TRUNK, WORDS
from edge_runtime.nlu.files import sha256
from edge_runtime.nlu.intents import examples_digest
from edge_runtime.packs.schema import Pack
from edge_runtime.turn import GENERAL_INTENTS, Sentiment

STUDENT_BASE: Final = "student-e5-small"
"""The base that comes with the package, by the name of its bundle."""

_MAX_LABELS_BYTES: Final = 2**20
_MAX_GRAPH_BYTES: Final = 256 * 2**20
_RETRAIN: Final = "Make it again with 'edge-convert train-nlu'."

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(min_length=1, max_length=100)]
_Tag = Annotated[str, Field(pattern=r"^(O|[BI]-[A-Za-z0-9_.:-]{1,64})$")]


@dataclass(frozen=True, slots=True)
class TaskLabels:
    """What the outputs of a ``task.onnx`` mean.

    ``encoder`` is the :func:`base_fingerprint` of the base it works with. ``calibration`` turns
    the evidence for the best intent (three numbers) into log-odds, its last one is the offset;
    below ``threshold`` an utterance is out of scope. ``pack`` is the ``examples_digest`` of the
    pack it was trained for, or ``None``.
    """

    encoder: str
    intents: tuple[str, ...]
    sentiments: tuple[Sentiment, ...]
    tags: tuple[str, ...]
    threshold: float
    calibration: tuple[float, float, float, float]
    sentiment_temperature: float
    pack: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A checked ``task.onnx`` and its labels."""

    labels: TaskLabels
    graph: Path


def base_fingerprint(files: Mapping[str, Path]) -> str:
    """Identity of a base: hex sha256 over the hex sha256s of its words, trunk and embedding."""
    hashes = "".join(sha256(_file(files, name)) for name in (WORDS, TRUNK, EMBEDDING))
    return hashlib.sha256(hashes.encode("ascii")).hexdigest()


def load_task(files: Mapping[str, Path]) -> Task:
    """The heads of one task, held against the hash in their labels.

    Args:
        files: needs ``labels.json`` and ``task.onnx``.

    Raises:
        ModelMissingError: one of the two is missing.
        ModelCorruptError: the labels are not sound, or the graph is not the one they name.
    """
    path = _file(files, LABELS)
    graph = _file(files, TASK)
    if path.stat().st_size > _MAX_LABELS_BYTES or graph.stat().st_size > _MAX_GRAPH_BYTES:
        raise ModelCorruptError(f"{path.parent} holds heads larger than any this device can use.")
    try:
        read = _Labels.model_validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its start"
        raise ModelCorruptError(
            f"{path} is wrong at {where}: {first['msg']}.", hint=_RETRAIN
        ) from error
    if sha256(graph) != read.heads[TASK]:
        raise ModelCorruptError(f"{graph} is not the graph that its labels name.", hint=_RETRAIN)
    fields = read.model_dump(exclude={"schema_", "heads"})
    return Task(TaskLabels(**fields), graph)


@dataclass(frozen=True, slots=True)
class Choice:
    """The heads to use, or ``None`` for those trained on this device; ``reason`` says why."""

    task: Task | None
    reason: str


def choose_task(files: Mapping[str, Path] | None, pack: Pack) -> Choice:
    """Trained heads where ``files`` hold some for exactly the examples of ``pack``.

    Raises:
        ModelError: as for :func:`load_task`; damaged heads are reported, not passed over.
    """
    own = "classifiers trained on this device from the pack's examples"
    if files is None:
        return Choice(None, f"{own}: none came with the encoder for pack '{pack.name}'")
    task = load_task(files)
    if task.labels.pack != examples_digest(pack):
        return Choice(None, f"{own}: they are no longer those that the student was trained on")
    return Choice(task, f"heads trained with the student encoder for pack '{pack.name}'")


def released_task(files: Mapping[str, Path], pack: Pack) -> Task:
    """The trained heads of a bundle, for a pack that has all their intents.

    Raises:
        ModelMissingError, ModelCorruptError: they are damaged, or know intents that the pack
            gives no answer to.
    """
    task = load_task(files)
    unknown = set(task.labels.intents) - GENERAL_INTENTS - pack.intents.keys()
    if unknown:
        raise ModelCorruptError(
            f"The bundle's heads tell intents apart that pack '{pack.name}' does not have, "
            f"such as '{min(unknown)}'.",
            hint="Put the pack they were trained for into the bundle.",
        )
    return task


def check_encoder(labels: TaskLabels, fingerprint: str) -> None:
    """Refuse heads that were trained for another encoder.

    Raises:
        ModelCorruptError: they were.
    """
    if labels.encoder != fingerprint:
        raise ModelCorruptError(
            f"The trained heads need the encoder {labels.encoder[:12]}, "
            f"and this device has {fingerprint[:12]}.",
            hint="Train them again with this device's encoder, or install the one they need.",
        )


def _file(files: Mapping[str, Path], name: str) -> Path:
    path = files.get(name)
    if path is None or not path.is_file():
        raise ModelMissingError(f"The student encoder lacks {name}.")
    return path


class _Labels(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_: Literal[2] = Field(alias="schema")
    encoder: _Sha256
    intents: tuple[_Name, ...] = Field(min_length=2, max_length=5000)
    sentiments: tuple[Sentiment, ...] = Field(max_length=3)
    tags: tuple[_Tag, ...] = Field(max_length=1000)
    threshold: float = Field(ge=0, le=1)
    calibration: tuple[float, float, float, float]
    sentiment_temperature: float = Field(gt=0)
    heads: dict[str, _Sha256]
    pack: _Sha256 | None

    @model_validator(mode="after")
    def _consistent(self) -> _Labels:
        for names in (self.intents, self.sentiments, self.tags):
            if len(set(names)) != len(names):
                raise ValueError("a label is listed twice")
        if self.tags and "O" not in self.tags:
            raise ValueError("the tags lack 'O'")
        if set(self.heads) != {TASK}:
            raise ValueError(f"the heads are not exactly {TASK}")
        return self
