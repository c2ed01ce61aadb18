"""Shared fixtures."""

from __future__ import annotations

import signal
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

# A shell that runs the tests in the background ignores Ctrl-C for them, and programs started here
# would inherit that; the tests that press it need it to work.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
