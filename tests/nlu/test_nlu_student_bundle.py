"""Bundles of trained heads: ``understand --bundle``, and those that come with the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from student_kit import write_base, write_manifest, write_task
from typer.testing import CliRunner

from edge_runtime.bundles import bundle_files, opened, shipped_files
from edge_runtime.cli import app
from edge_runtime.commands.doctor import _understanding
from edge_runtime.config import load_settings
from edge_runtime.errors import ModelCorruptError, ModelMissingError
from edge_runtime.nlu import examples_digest
from edge_runtime.packs import load_pack
from edge_runtime.trained import opened_bundle
from edge_runtime.wiring import Engines


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the profile's encoder lies as a bundle that came with the package."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr(opened, "SHIPPED", folder)
    monkeypatch.setenv("EDGE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("EDGE_DATA_DIR", str(tmp_path / "data"))
    name = load_settings().engines.encoder
    write_base(folder / name / "files")
    write_manifest(folder / name, name)
    return folder


def _base(shipped: Path) -> Mapping[str, Path]:
    files = shipped_files(load_settings().engines.encoder)
    assert files is not None
    return files


@pytest.fixture
def bundle(shipped: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    write_task(folder / "files", _base(shipped))
    return write_manifest(folder, "nlu-test")


def _run(*arguments: str, given: str = "") -> Any:
    return CliRunner().invoke(app, ["understand", *arguments], input=given)


def test_a_bundles_intents_are_scored_from_standard_input(bundle: Path) -> None:
    lines = [{"text": "I want a refund"}, {"text": "my order", "lang": "en"}, {"text": "hi"}]
    done = _run("--bundle", str(bundle), given="\n".join(map(json.dumps, lines)))
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["text"] for one in found] == [line["text"] for line in lines]
    assert [one["intent"] for one in found] == ["give_refund", "find_order", "out_of_scope"]
    assert set(found[0]) >= {"language", "intent_confidence", "sentiment", "entities"}


def test_another_business_has_other_words(bundle: Path) -> None:
    done = _run("--bundle", str(bundle), "--lang", "en", "--json", "order of bread")
    assert json.loads(done.stdout)["entities"] == []
    with opened_bundle(bundle, load_settings()) as understander:
        assert understander.understand("order of bread").intent == "find_order"


def test_a_tampered_component_is_never_loaded(bundle: Path) -> None:
    graph = bundle / "files" / "task.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    done = _run("--bundle", str(bundle), "--json", "hello")
    assert done.exit_code == ModelCorruptError.exit_code
    assert "task.onnx" in done.output
    assert "Traceback" not in done.output


def test_a_folder_that_is_no_bundle_says_so(shipped: Path, tmp_path: Path) -> None:
    done = _run("--bundle", str(tmp_path / "none"), "hello")
    assert done.exit_code == ModelMissingError.exit_code
    assert "holds no bundle" in done.output


def test_heads_for_another_encoder_are_named(shipped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    write_task(folder / "files", _base(shipped), encoder="1" * 64)
    done = _run("--bundle", str(write_manifest(folder, "nlu-foreign")), "hello")
    assert done.exit_code == ModelCorruptError.exit_code
    assert "need the encoder 111111111111" in done.output


def test_a_missing_component_and_a_newer_bundle_are_refused(bundle: Path) -> None:
    write_manifest(bundle, "nlu-test", min_runtime="99.0")
    with pytest.raises(ModelCorruptError, match="needs edge-runtime 99"):
        bundle_files(bundle)
    write_manifest(bundle, "nlu-test")
    (bundle / "files" / "labels.json").unlink()
    with pytest.raises(ModelMissingError, match=r"labels\.json"):
        bundle_files(bundle)
    (bundle / "manifest.json").write_bytes(b"{}")
    with pytest.raises(ModelCorruptError, match="manifest"):
        bundle_files(bundle)


def _ship_heads(shipped: Path, **changed: Any) -> None:
    folder = shipped / f"{load_settings().engines.encoder}-retail"
    write_task(folder / "files", _base(shipped), **changed)
    write_manifest(folder, folder.name)


def test_shipped_heads_serve_the_pack_they_were_trained_for(shipped: Path) -> None:
    settings = load_settings(pack="retail")
    pack = load_pack(settings.pack_dir)
    assert Engines(settings, pack).heads.task is None
    assert "none came with the encoder" in _understanding(settings).detail
    _ship_heads(shipped, pack=examples_digest(pack))
    engines = Engines(settings, pack)
    assert engines.heads.task is not None
    with engines.encoder.use() as encoder:
        assert encoder.labels == engines.heads.task.labels
    finding = _understanding(settings)
    assert finding.ok
    assert finding.detail == "heads trained with the student encoder for pack 'retail'"
    _ship_heads(shipped, pack="2" * 64)
    assert "no longer" in _understanding(settings).detail


def test_damaged_shipped_heads_are_a_finding(shipped: Path) -> None:
    settings = load_settings(pack="retail")
    _ship_heads(shipped, pack=examples_digest(load_pack(settings.pack_dir)))
    for path in shipped.glob("*-retail/files/task.onnx"):
        path.write_bytes(b"damaged")
    finding = _understanding(settings)
    assert not finding.ok
    assert "task.onnx" in finding.detail
