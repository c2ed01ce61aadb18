"""What a recipe's stages are made of, and which of them still have to run, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from converters.errors import ConversionError
from converters.progress import Report, silent
from converters.recipe.sources import file_hashes, tree_digest
from converters.recipe.workspace import Record, Workspace, option_texts
from edge_runtime.bundles.documents import canonical_json

Action = Literal["keep", "run", "resume"]


@dataclass(frozen=True, slots=True)
class Made:
    """Something an earlier ``stage`` makes: a file or folder ``part`` of its output."""

    stage: str
    part: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a recipe.

    ``code`` changes when the same input would give another result. ``inputs`` are files and
    folders from outside or what an earlier stage makes; ``run`` gets their paths by name, an
    output folder that may hold what a killed run left, and whom to tell how far it is.
    """

    name: str
    code: str
    options: Mapping[str, object]
    inputs: Mapping[str, Path | Made]
    run: Callable[[Mapping[str, Path], Path, Report], None]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a stage runs, and why. ``key`` is empty while an input is not made yet."""

    stage: str
    action: Action
    reason: str
    key: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)


class Planner:
    """Decides stage by stage, in their order; remembers hashes of outside inputs and decisions.

    Args:
        workspace: where outputs and records are.
        start: the stage from which on everything runs again, if any.
    """

    def __init__(self, workspace: Workspace, start: str | None = None) -> None:
        self._workspace = workspace
        self._start = start
        self._started = False
        self._outside: dict[Path, str] = {}
        self._pending: set[str] = set()

    def decide(self, stage: Stage, progress: Report = silent) -> Decision:
        """Whether ``stage`` has to run, given what was decided and finished before it.

        Raises:
            ConversionError: an earlier stage did not make what this one needs.
            StorageError: an input or output cannot be read.
        """
        progress("checking what is there", 0.0)
        self._started = self._started or stage.name == self._start
        awaited = sorted(
            {i.stage for i in stage.inputs.values() if isinstance(i, Made)} & self._pending
        )
        if awaited:
            reason = f"{' and '.join(awaited)} {'run' if len(awaited) > 1 else 'runs'} before it"
            return self._note(Decision(stage.name, "run", reason))
        hashes = {name: self._hash(given) for name, given in stage.inputs.items()}
        key = stage_key(stage, hashes)
        record = self._workspace.record(stage.name)
        reason = "it was asked for with --from" if self._started else ""
        reason = reason or self._reason(stage, record, hashes, key)
        if not reason:
            return Decision(stage.name, "keep", "nothing it depends on has changed", key, hashes)
        if self._workspace.begun(stage.name, key):
            return self._note(Decision(stage.name, "resume", "it was interrupted", key, hashes))
        return self._note(Decision(stage.name, "run", reason, key, hashes))

    def finished(self, stage: Stage) -> None:
        """``stage`` has run: what depends on it can be decided."""
        self._pending.discard(stage.name)

    def _note(self, decision: Decision) -> Decision:
        self._pending.add(decision.stage)
        return decision

    def _reason(
        self, stage: Stage, record: Record | None, hashes: Mapping[str, str], key: str
    ) -> str:
        if record is None:
            return "it has not run yet"
        if record.key != key:
            return _difference(stage, record, hashes)
        damaged = self._workspace.damage(stage.name, record)
        return f"its output {damaged} was changed or damaged" if damaged else ""

    def _hash(self, given: Path | Made) -> str:
        if isinstance(given, Made):
            return _made_hash(self._workspace, given)
        if given not in self._outside:
            self._outside[given] = tree_digest(file_hashes(given))
        return self._outside[given]


def stage_key(stage: Stage, hashes: Mapping[str, str]) -> str:
    """Hash of all that decides the result of ``stage``."""
    parts = {
        "stage": stage.name,
        "code": stage.code,
        "options": option_texts(stage.options),
        "inputs": dict(hashes),
    }
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def input_paths(stage: Stage, workspace: Workspace) -> dict[str, Path]:
    """Where the inputs of ``stage`` are."""
    return {
        name: workspace.folder(given.stage) / given.part if isinstance(given, Made) else given
        for name, given in stage.inputs.items()
    }


def _made_hash(workspace: Workspace, made: Made) -> str:
    record = workspace.record(made.stage)
    files = record.files if record else {}
    inside = {
        name.removeprefix(f"{made.part}/"): of
        for name, of in files.items()
        if name.startswith(f"{made.part}/")
    }
    if made.part in files:
        inside = {".": files[made.part]}
    if not inside:
        raise ConversionError(
            f"The stage {made.stage} finished without making {made.part}, which a later one needs.",
            hint="Run it again with --from, or name your own file for the later stage.",
        )
    return tree_digest(inside)


def _difference(stage: Stage, record: Record, hashes: Mapping[str, str]) -> str:
    """The first thing in which ``stage`` differs from when it last ran."""
    if record.code != stage.code:
        return "this version of edge-convert makes it differently"
    options = option_texts(stage.options)
    changed = [name for name in options if record.options.get(name) != options[name]]
    if changed or record.options.keys() != options.keys():
        named = ", ".join(changed) or "an option"
        return f"changed in the recipe: {named}"
    inputs = [name for name in hashes if record.inputs.get(name) != hashes[name]]
    return f"its input changed: {', '.join(inputs) or 'one was removed'}"
