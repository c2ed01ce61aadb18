"""A published repository on disk, and a device with a home of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from device_kit import Till, Works

from edge_runtime.journal import Journal


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return Works(tmp_path / "works")


@pytest.fixture
def till(tmp_path: Path, works: Works) -> Till:
    return Till(tmp_path / "till", works)


@pytest.fixture
def journal(till: Till) -> Iterator[Journal]:
    opened = Journal.open(till.settings.data_dir / "journal.db")
    yield opened
    opened.close()
