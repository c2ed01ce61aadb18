from __future__ import annotations

import pytest

from edge_runtime.bundles import ModelStore
from edge_runtime.config import load_settings


@pytest.mark.models
def test_every_model_on_this_machine_is_what_the_catalogue_says() -> None:
    results = ModelStore(load_settings().models_dir).verify()
    assert results, "no models here: run 'make setup'"
    assert [result.id for result in results if result.error] == []
