"""A disk that is full at any step of an update: told in one sentence, and the next try succeeds."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_points import NEW, OLD, PASSES, STAGES, Scene

from edge_runtime.errors import StorageError

STEPS = ("fsync", "link")


def filling(step: str, at: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Let the ``at``-th call of ``os.<step>`` find the disk full; says whether it came to that."""
    real, calls = getattr(os, step), 0

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **named)

    monkeypatch.setattr(os, step, call)
    return lambda: calls >= at


@pytest.mark.parametrize("stage", ["download and switch", "commit", "rollback"])
def test_a_disk_full_at_any_step_leaves_a_device_that_starts_and_tries_again(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    start, action, expected = STAGES[stage]
    points = 0
    for step in STEPS:
        for at in range(1, 1000):
            place = tmp_path / "point"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(tmp_path / start, place)
            with monkeypatch.context() as patch:
                reached = filling(step, at, patch)
                try:
                    action(scene, scene.till("point"))
                except StorageError as error:
                    assert "full" in error.message
            if not reached():
                break
            points += 1
            assert scene.till("point").home.slots.begin_start() is not None
            scene.till("point").home.slots.started()
            assert scene.till("point").running() in (OLD, NEW)
            action(scene, scene.till("point"))
            assert scene.till("point").running() == expected
    print(f"{stage}: {points} points")
    assert points >= 2


def test_a_disk_without_room_for_the_bundle_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    till = scene.till("start")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(StorageError):
        till.pull(command=PASSES)
    assert till.running() == OLD
