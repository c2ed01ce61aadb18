"""Bundles: refused below their bars, the same every time."""

from __future__ import annotations

import pickle
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from converter_kit import card_for, gguf
from typer.testing import CliRunner

from converters.bundle import BundleSpec, build_bundle
from converters.cli import app
from converters.errors import BarsMissedError, ModelFileError, OptionError
from converters.evaluate.engines import model_digest
from edge_runtime.bundles.blobs import BlobStore
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.manifest import BundleManifest
from edge_runtime.bundles.slots import Slots
from edge_runtime.config import PACKS_DIR
from edge_runtime.errors import ModelCorruptError, StorageError


@pytest.fixture
def spec(tmp_path: Path) -> BundleSpec:
    model = tmp_path / "model.gguf"
    model.write_bytes(gguf())
    card = card_for(model, tmp_path / "model.card.json")
    return BundleSpec("shop", "1.0.0", cards=(card,), components=(model,), profiles=("lite",))


def test_the_same_input_gives_the_same_hash_anywhere(spec: BundleSpec, tmp_path: Path) -> None:
    spec = replace(spec, pack=PACKS_DIR / "retail")
    moved = tmp_path / "moved"
    moved.mkdir()
    copies = [Path(shutil.copy(path, moved)) for path in (*spec.components, *spec.cards)]
    first = build_bundle(spec, tmp_path / "a")
    again = build_bundle(spec, tmp_path / "a")
    other = replace(spec, components=(copies[0],), cards=(copies[1],))
    elsewhere = build_bundle(other, tmp_path / "b")
    assert first.digest == again.digest == elsewhere.digest
    assert first.path.read_bytes() == elsewhere.path.read_bytes()


def test_a_bundle_can_be_installed_and_run_from_its_slot(spec: BundleSpec, tmp_path: Path) -> None:
    made = build_bundle(replace(spec, pack=PACKS_DIR / "retail"), tmp_path / "store")
    manifest = BundleManifest.from_json(made.path.read_bytes())
    assert set(manifest.languages) >= {"en", "zh", "es"}
    slots = Slots(tmp_path / "slots", BlobStore(tmp_path / "store"))
    slots.fill(manifest)
    files = slots.files(slots.activate())
    assert files["model.gguf"].read_bytes() == gguf()
    assert "pack/retail/pack.toml" in files


def test_a_card_below_its_bars_refuses_and_names_them(spec: BundleSpec, tmp_path: Path) -> None:
    low = card_for(spec.components[0], tmp_path / "low.json", accuracy=0.6)
    with pytest.raises(BarsMissedError, match=r"intent_accuracy is 0\.6, must be at least 0\.9"):
        build_bundle(replace(spec, cards=(*spec.cards, low)), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_folder_goes_in_whole_under_the_card_of_the_folder(
    spec: BundleSpec, tmp_path: Path
) -> None:
    folder = tmp_path / "shop-int4"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "config.json").write_text("{}")
    card = QualityCard(model_digest(folder), "d", {"mean_kl": 0.0}, {"mean_kl": Bar(1, "at_most")})
    (tmp_path / "int4.json").write_bytes(card.to_json())
    wanted = replace(spec, cards=(tmp_path / "int4.json",), components=(folder,))
    made = build_bundle(wanted, tmp_path / "store")
    names = [component.name for component in made.manifest.components]
    assert names == ["cards/int4.json", "shop-int4/config.json", "shop-int4/model.onnx"]
    (folder / "config.json").write_bytes(pickle.dumps([1]))
    with pytest.raises(ModelFileError, match="pickle"):
        build_bundle(wanted, tmp_path / "other")


def test_a_card_of_another_model_is_refused(spec: BundleSpec, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf(tensors=5))
    stolen = card_for(other, tmp_path / "stolen.json")
    with pytest.raises(ModelFileError, match="measured something that is not in this bundle"):
        build_bundle(replace(spec, cards=(stolen,)), tmp_path / "store")


def test_a_card_without_bars_or_no_card_is_refused(spec: BundleSpec, tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    empty.write_bytes(QualityCard("0" * 64, "d", {}, {}).to_json())
    with pytest.raises(BarsMissedError, match="sets no bars"):
        build_bundle(replace(spec, cards=(empty,)), tmp_path / "store")
    with pytest.raises(OptionError, match="needs a quality card"):
        build_bundle(replace(spec, cards=()), tmp_path / "store")


def test_pickles_and_damaged_models_are_refused(spec: BundleSpec, tmp_path: Path) -> None:
    pickled = tmp_path / "weights.bin"
    pickled.write_bytes(pickle.dumps([1]))
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf()[:-1])
    for path, reason in ((pickled, "pickle"), (cut, "cut short")):
        with pytest.raises(ModelFileError, match=reason):
            build_bundle(replace(spec, components=(*spec.components, path)), tmp_path / "store")


def test_a_released_version_is_never_given_other_content(spec: BundleSpec, tmp_path: Path) -> None:
    store = tmp_path / "store"
    made = build_bundle(spec, store)
    before = made.path.read_bytes()
    with pytest.raises(OptionError, match="exists already"):
        build_bundle(replace(spec, licence="MIT"), store)
    assert made.path.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [{"name": "../up"}, {"version": "one"}, {"profiles": ("huge",)}, {"languages": ("english",)}],
)
def test_fields_that_a_device_would_refuse_are_refused(
    spec: BundleSpec, tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(OptionError, match="No manifest can be made"):
        build_bundle(replace(spec, **change), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_damaged_card_is_one_sentence(spec: BundleSpec, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"schema": 1, "subject": "x"}')
    with pytest.raises(ModelCorruptError, match="quality card is wrong"):
        build_bundle(replace(spec, cards=(broken,)), tmp_path / "store")


def test_a_full_disk_is_found_before_anything_is_written(
    spec: BundleSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 0))
    with pytest.raises(StorageError, match="MB free"):
        build_bundle(spec, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.*"))


def test_the_command_names_the_missed_bar_and_exits_with_8(
    spec: BundleSpec, tmp_path: Path
) -> None:
    low = card_for(spec.components[0], tmp_path / "low.json", accuracy=0.6)
    arguments = ["bundle", "--name", "shop", "--version", "1", "--profile", "lite", "--json"]
    arguments += ["--component", str(spec.components[0]), "--out", str(tmp_path / "store")]
    result = CliRunner().invoke(app, [*arguments, "--card", str(low)])
    assert result.exit_code == 8
    assert '"BarsMissedError"' in result.stdout
    assert "intent_accuracy is 0.6" in result.stdout
    fine = CliRunner().invoke(app, [*arguments, "--card", str(spec.cards[0])])
    assert fine.exit_code == 0, fine.output
    assert '"digest"' in fine.stdout
