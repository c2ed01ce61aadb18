"""The stages of the standard profile, opened once for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cli_kit import PATIENT, prepared_data

from edge_runtime.assistant import Assistant
from edge_runtime.config import Settings, load_settings
from edge_runtime.rooms import Rooms


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    data: Path = prepared_data(tmp_path_factory)
    return load_settings(profile="standard", data_dir=data, **PATIENT)


@pytest.fixture(scope="session")
def rooms(settings: Settings) -> Iterator[Rooms]:
    opened = Rooms(settings)
    opened.prepare()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def assistant(settings: Settings, rooms: Rooms) -> Assistant:
    return Assistant(settings, rooms=rooms)
