"""Shared fixtures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ModelFiles = Callable[[str], Mapping[str, Path]]


@pytest.fixture(scope="session")
def model_files() -> ModelFiles:
    """Verified files of a catalogued model, by name."""

    def files(model_id: str) -> Mapping[str, Path]:
        root = Path("/tmp/models") / model_id
        found = {str(p.relative_to(root)): p for p in sorted(root.rglob("*")) if p.is_file()}
        assert found, f"model {model_id} is not on this machine: run 'make setup'"
        return found

    return files
