"""Shared fixtures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from edge_runtime.bundles import ModelStore
from edge_runtime.config import load_settings
from edge_runtime.errors import ModelError

# How long an example takes depends on what else the machine does: only results are asserted.
settings.register_profile("edge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edge")

ModelFiles = Callable[[str], Mapping[str, Path]]


@pytest.fixture(scope="session")
def model_files() -> ModelFiles:
    """Verified files of a catalogued model, by name; each model is verified once a session."""
    store = ModelStore(load_settings().models_dir)

    @cache
    def files(model_id: str) -> Mapping[str, Path]:
        try:
            return store.files(model_id)
        except ModelError as error:
            pytest.fail(f"{error}", pytrace=False)

    return files
