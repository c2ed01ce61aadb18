"""What comes along with the package is found by name and handed to the engine it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converters.gguf import read_header
from edge_runtime.bundles import ModelStore
from edge_runtime.config import load_settings
from edge_runtime.generation import registry
from edge_runtime.packs import load_pack
from edge_runtime.wiring import Engines


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Path]]:
    """The files that language models were loaded from."""
    asked: list[Mapping[str, Path]] = []

    class Quiet:
        def close(self) -> None:
            pass

    def load(files: Mapping[str, Path], *, threads: int) -> Any:
        asked.append(files)
        return Quiet()

    monkeypatch.setattr(registry, "load_language_model", load)
    monkeypatch.setattr(ModelStore, "files", lambda _, name: {"model.gguf": Path(name)})
    return asked


def test_the_language_model_is_tuned_for_the_pack_it_has_an_adapter_for(
    loaded: list[Mapping[str, Path]], tmp_path: Path
) -> None:
    settings = load_settings(profile="standard", data_dir=tmp_path)
    pack = load_pack(settings.pack_dir)
    for known in (pack, replace(pack, name="bakery")):
        engines = Engines(settings, known)
        with engines.llm.use():
            pass
        engines.close()
    tuned, plain = loaded
    assert set(tuned) == {"model.gguf", "adapter.gguf"}
    assert set(plain) == {"model.gguf"}
    header = read_header(tuned["adapter.gguf"])
    assert header.metadata["general.architecture"] == "qwen2"
    assert header.metadata["adapter.type"] == "lora"
