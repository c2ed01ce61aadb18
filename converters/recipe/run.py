"""Runs a recipe: each stage whose inputs changed, in order, continuing what was interrupted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.dataset import suggestion
from converters.errors import OptionError
from converters.progress import Report, silent
from converters.recipe.plan import Action, Decision, Planner, Stage, input_paths
from converters.recipe.workspace import Record, Workspace, describe, option_texts


@dataclass(frozen=True, slots=True)
class StageRun:
    """What became of one stage; ``seconds`` is what its output took to make, whenever that was."""

    stage: str
    action: Action
    reason: str
    seconds: float
    folder: Path


def plan(stages: Sequence[Stage], work: Path, *, start: str | None = None) -> tuple[Decision, ...]:
    """Which stages a run would run, and why; changes nothing.

    Raises:
        OptionError: there is no stage ``start``.
        StorageError: an input or output cannot be read.
    """
    _check_start(stages, start)
    planner = Planner(Workspace(work), start)
    return tuple(planner.decide(stage) for stage in stages)


def run(
    stages: Sequence[Stage], work: Path, *, start: str | None = None, progress: Report = silent
) -> tuple[StageRun, ...]:
    """Bring every stage's output in ``work`` up to date.

    An interrupted or failed stage leaves the finished ones as they are; the next run continues
    with it.

    Raises:
        OptionError: there is no stage ``start``, or another run is at work in ``work``.
        StorageError: the disk is full or cannot be written.
        EdgeRuntimeError: a stage failed; as its own function says.
    """
    _check_start(stages, start)
    workspace = Workspace(work)
    with workspace.locked():
        for stage in stages:
            workspace.settle(stage.name)
        planner = Planner(workspace, start)
        done = []
        for index, stage in enumerate(stages):
            report = _part(progress, stage.name, index, len(stages))
            done.append(_bring_up_to_date(stage, workspace, planner, report))
        return tuple(done)


def _bring_up_to_date(
    stage: Stage, workspace: Workspace, planner: Planner, progress: Report
) -> StageRun:
    decision = planner.decide(stage, progress)
    if decision.action == "keep":
        record = workspace.record(stage.name)
        seconds = record.seconds if record else 0.0
    else:
        seconds = _carry_out(stage, decision, workspace, progress)
        planner.finished(stage)
    folder = workspace.folder(stage.name)
    return StageRun(stage.name, decision.action, decision.reason, seconds, folder)


def _carry_out(stage: Stage, decision: Decision, workspace: Workspace, progress: Report) -> float:
    partial = workspace.begin(stage.name, decision.key)
    began = time.monotonic()
    stage.run(input_paths(stage, workspace), partial, progress)
    seconds = round(time.monotonic() - began, 3)
    record = Record(
        key=decision.key,
        code=stage.code,
        options=option_texts(stage.options),
        inputs=dict(decision.hashes),
        seconds=seconds,
        files=dict(describe(partial)),
    )
    workspace.finish(stage.name, record)
    return seconds


def _part(progress: Report, name: str, index: int, count: int) -> Report:
    """Progress of one stage as a part of the whole run's."""

    def report(step: str, share: float, detail: str = "", /) -> None:
        within = min(1.0, share)
        of_all = (index + within) / count
        progress(f"[{index + 1}/{count}] {name}: {step}", of_all, detail or f"{within:.0%}")

    return report


def _check_start(stages: Sequence[Stage], start: str | None) -> None:
    names = [stage.name for stage in stages]
    if start is not None and start not in names:
        raise OptionError(f"The recipe has no stage '{start}'.", hint=suggestion(start, names))
