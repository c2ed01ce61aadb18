"""The runner: nothing twice, nothing half, and what was interrupted goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converters.errors import ConversionError, OptionError
from converters.progress import Report
from converters.recipe.plan import Made, Stage
from converters.recipe.run import plan, run
from converters.recipe.workspace import Workspace
from edge_runtime.errors import StorageError

Run = Callable[[Mapping[str, Path], Path, Report], None]


class Kitchen:
    """Three stages: two that copy and count how often they run, one that joins."""

    def __init__(self, home: Path) -> None:
        self.source = home / "source.txt"
        self.source.write_text("flour")
        self.ran: list[str] = []

    def stages(self, **options: object) -> tuple[Stage, ...]:
        return (
            Stage("first", "1", options, {"data": self.source}, self._copy("first")),
            Stage("second", "1", {}, {"data": Made("first", "out.txt")}, self._copy("second")),
            Stage("other", "1", {}, {"data": self.source}, self._copy("other")),
        )

    def _copy(self, name: str) -> Run:
        def step(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
            self.ran.append(name)
            progress("copying", 0.5)
            (out / "out.txt").write_text(inputs["data"].read_text())

        return step


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    return Kitchen(tmp_path)


def test_a_second_run_does_nothing_and_says_so(kitchen: Kitchen, tmp_path: Path) -> None:
    first = run(kitchen.stages(), tmp_path / "w")
    assert [stage.action for stage in first] == ["run"] * 3
    again = run(kitchen.stages(), tmp_path / "w")
    assert [stage.action for stage in again] == ["keep"] * 3
    assert kitchen.ran == ["first", "second", "other"]
    assert [stage.seconds for stage in again] == [stage.seconds for stage in first]


def test_a_changed_input_runs_what_depends_on_it_only(kitchen: Kitchen, tmp_path: Path) -> None:
    run(kitchen.stages(), tmp_path / "w")
    kitchen.ran.clear()
    done = run(kitchen.stages(size=2), tmp_path / "w")
    # The first makes the same of it, so that the second has nothing to do.
    assert kitchen.ran == ["first"]
    assert "size" in done[0].reason
    kitchen.source.write_text("sugar")
    done = run(kitchen.stages(size=2), tmp_path / "w")
    assert [stage.action for stage in done] == ["run"] * 3
    assert "its input changed: data" in done[0].reason


def test_new_code_runs_a_stage_again(kitchen: Kitchen, tmp_path: Path) -> None:
    run(kitchen.stages(), tmp_path / "w")
    stages = [replace(stage, code="2") for stage in kitchen.stages()]
    assert "this version" in run(stages, tmp_path / "w")[0].reason


@pytest.mark.parametrize("damage", ["changed", "missing", "added"])
def test_a_damaged_output_is_made_again(kitchen: Kitchen, tmp_path: Path, damage: str) -> None:
    run(kitchen.stages(), tmp_path / "w")
    kitchen.ran.clear()
    made = tmp_path / "w" / "first" / "out.txt"
    if damage == "changed":
        made.write_text("Flour")
    elif damage == "missing":
        made.unlink()
    else:
        (made.parent / "more.txt").write_text("?")
    done = run(kitchen.stages(), tmp_path / "w")
    assert kitchen.ran == ["first"]
    assert "changed or damaged" in done[0].reason
    assert made.read_text() == "flour"
    assert not (made.parent / "more.txt").exists()


def test_a_damaged_record_is_no_record(kitchen: Kitchen, tmp_path: Path) -> None:
    run(kitchen.stages(), tmp_path / "w")
    (tmp_path / "w" / "first" / ".stage.json").write_text("{")
    assert run(kitchen.stages(), tmp_path / "w")[0].action == "run"


def test_from_runs_a_stage_and_all_after_it(kitchen: Kitchen, tmp_path: Path) -> None:
    run(kitchen.stages(), tmp_path / "w")
    kitchen.ran.clear()
    done = run(kitchen.stages(), tmp_path / "w", start="second")
    assert kitchen.ran == ["second", "other"]
    assert "--from" in done[1].reason
    with pytest.raises(OptionError, match="Did you mean 'second'"):
        run(kitchen.stages(), tmp_path / "w", start="secnd")


def test_a_dry_run_changes_nothing_and_says_why(kitchen: Kitchen, tmp_path: Path) -> None:
    planned = plan(kitchen.stages(), tmp_path / "w")
    assert [(d.action, d.reason) for d in planned] == [
        ("run", "it has not run yet"),
        ("run", "first runs before it"),
        ("run", "it has not run yet"),
    ]
    assert not (tmp_path / "w").exists()
    run(kitchen.stages(), tmp_path / "w")
    assert {d.action for d in plan(kitchen.stages(), tmp_path / "w")} == {"keep"}


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ConversionError("it broke")])
def test_an_interrupted_stage_goes_on_where_it_was(
    kitchen: Kitchen, tmp_path: Path, failure: BaseException
) -> None:
    pieces: list[int] = []

    def slowly(inputs: Mapping[str, Path], out: Path, progress: Report) -> None:
        for piece in range(4):
            if (out / str(piece)).exists():
                continue
            pieces.append(piece)
            (out / str(piece)).write_text(str(piece))
            if piece == 1 and len(pieces) == 2:
                raise failure

    stages = (kitchen.stages()[0], Stage("slow", "1", {}, {}, slowly))
    with pytest.raises(type(failure)):
        run(stages, tmp_path / "w")
    assert not (tmp_path / "w" / "slow").exists()
    done = run(stages, tmp_path / "w")
    assert [stage.action for stage in done] == ["keep", "resume"]
    assert pieces == [0, 1, 2, 3]
    assert run(stages, tmp_path / "w")[1].action == "keep"


def test_what_is_left_of_other_work_is_thrown_away(kitchen: Kitchen, tmp_path: Path) -> None:
    partial = Workspace(tmp_path / "w").begin("first", "another key")
    (partial / "stale.txt").write_text("?")
    run(kitchen.stages(), tmp_path / "w")
    assert not (tmp_path / "w" / "first" / "stale.txt").exists()


def test_a_kill_between_the_two_renames_is_made_good(kitchen: Kitchen, tmp_path: Path) -> None:
    run(kitchen.stages(), tmp_path / "w")
    kitchen.ran.clear()
    (tmp_path / "w" / "first").rename(tmp_path / "w" / ".first.partial")
    assert run(kitchen.stages(), tmp_path / "w")[0].action == "keep"
    assert kitchen.ran == []


def test_two_runs_in_one_folder_are_refused(kitchen: Kitchen, tmp_path: Path) -> None:
    with (
        Workspace(tmp_path / "w").locked(),
        pytest.raises(OptionError, match="Another run is at work"),
    ):
        run(kitchen.stages(), tmp_path / "w")
    run(kitchen.stages(), tmp_path / "w")


def test_a_folder_that_cannot_be_written_is_one_sentence(kitchen: Kitchen, tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file")
    with pytest.raises(StorageError, match="--work"):
        run(kitchen.stages(), tmp_path / "w")


def test_a_stage_that_makes_nothing_is_named(tmp_path: Path) -> None:
    def idle(inputs: Mapping[str, Path], out: Path, progress: Report) -> None: ...

    stages = (
        Stage("idle", "1", {}, {}, idle),
        Stage("after", "1", {}, {"data": Made("idle", "out.txt")}, idle),
    )
    with pytest.raises(ConversionError, match=r"idle finished without making out\.txt"):
        run(stages, tmp_path / "w")


def test_progress_is_of_all_stages(kitchen: Kitchen, tmp_path: Path) -> None:
    told: list[tuple[Any, ...]] = []
    run(kitchen.stages(), tmp_path / "w", progress=lambda *given: told.append(given))
    assert told[0] == ("[1/3] first: checking what is there", 0.0, "0%")
    assert ("[3/3] other: copying", 2.5 / 3, "50%") in told
    assert [share for _, share, _ in told] == sorted(share for _, share, _ in told)
