from __future__ import annotations

from pathlib import Path

import pytest
from bundle_kit import content, model, pinned, sha, source, store_of, variant, wheel, wheel_store

from edge_runtime.bundles import Catalogue, ModelStore, pull
from edge_runtime.bundles.blobs import BlobStore
from edge_runtime.errors import (
    ConfigError,
    ModelCorruptError,
    ModelMissingError,
    StorageError,
)

FILES = {"model.bin": b"weights" * 1000, "conf/model.conf": b"--x=1\n"}


@pytest.fixture
def filled(tmp_path: Path) -> ModelStore:
    store, stick = wheel_store(tmp_path, FILES)
    pull(store, ["m"], from_dir=stick)
    return store


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_files_gives_names_inside_the_model_and_their_content(filled: ModelStore) -> None:
    files = filled.files("m")
    assert {name: path.read_bytes() for name, path in files.items()} == FILES
    assert filled.directory("m") / "conf/model.conf" == files["conf/model.conf"]


def test_a_missing_model_names_the_command_that_gets_it(tmp_path: Path) -> None:
    store, _ = wheel_store(tmp_path, FILES)
    with pytest.raises(ModelMissingError) as caught:
        store.files("m")
    assert "edge-runtime models pull m" in caught.value.hint
    assert not store.root.exists()


def test_a_tampered_file_of_the_same_size_is_refused_at_load(filled: ModelStore) -> None:
    path = filled.files("m")["model.bin"]
    evil = b"WEIGHTS" * 1000
    overwrite(path, evil)
    for load in (filled.files, filled.directory):
        with pytest.raises(ModelCorruptError) as caught:
            load("m")
        assert "model.bin" in caught.value.message
        assert sha(evil) in caught.value.message
        assert sha(FILES["model.bin"]) in caught.value.message


def test_a_truncated_file_is_refused_at_load(filled: ModelStore) -> None:
    overwrite(filled.files("m")["model.bin"], FILES["model.bin"][:-1])
    with pytest.raises(ModelCorruptError, match=r"model\.bin.*expected 7000 bytes, found 6999"):
        filled.files("m")


def test_a_deleted_file_is_refused_at_load(filled: ModelStore) -> None:
    filled.files("m")["conf/model.conf"].unlink()
    with pytest.raises(ModelMissingError, match=r"conf/model\.conf"):
        filled.files("m")


def test_a_file_that_does_not_belong_is_refused_for_engines_that_read_folders(
    filled: ModelStore,
) -> None:
    (filled.directory("m") / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ModelCorruptError, match="preprocessor_config"):
        filled.directory("m")


def test_a_rewritten_manifest_cannot_bring_in_other_content(filled: ModelStore) -> None:
    manifest = filled.root / "installed" / "m" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(sha(FILES["model.bin"]), sha(b"evil")))
    with pytest.raises(ModelMissingError, match="Another version"):
        filled.files("m")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"files": [{"name": "../../x", "size": 1, "sha256": "a"}]}']
)
def test_a_damaged_manifest_is_refused(filled: ModelStore, text: str) -> None:
    (filled.root / "installed" / "m" / "manifest.json").write_text(text)
    with pytest.raises(ModelCorruptError, match="manifest of model m is damaged"):
        filled.files("m")


def test_pull_repairs_whatever_was_damaged(filled: ModelStore, tmp_path: Path) -> None:
    overwrite(filled.files("m")["model.bin"], b"evil")
    (filled.directory.__self__.root / "installed" / "m" / "manifest.json").write_text("{")
    pull(filled, ["m"], from_dir=tmp_path / "stick")
    assert filled.files("m")["model.bin"].read_bytes() == FILES["model.bin"]


def test_loading_needs_no_write_access_and_changes_nothing(filled: ModelStore) -> None:
    before = content(filled.root)
    (filled.root / ".lock").unlink()
    filled.directory("m")
    assert content(filled.root) == before
    assert not (filled.root / ".lock").exists()


def test_a_model_of_the_catalogue_before_is_not_loaded(filled: ModelStore, tmp_path: Path) -> None:
    newer = store_of(
        tmp_path / "newer",
        model(
            "m",
            variant(
                {"model.bin": b"new"},
                source([{"url": "https://h/m.zip", "file": "m.zip", **pinned(b"z")}], {"/": "m/"}),
            ),
        ),
    )
    with pytest.raises(ModelMissingError, match="Another version"):
        ModelStore(filled.root, newer.catalogue).files("m")


def test_verify_reports_each_model_and_its_error(filled: ModelStore) -> None:
    (good,) = filled.verify()
    assert (good.id, good.error, good.size) == ("m", None, 7006)
    overwrite(filled.files("m")["model.bin"], b"evil")
    (bad,) = filled.verify(("m",))
    assert isinstance(bad.error, ModelCorruptError)


def test_remove_frees_the_bytes_and_says_so(filled: ModelStore) -> None:
    assert filled.remove("m") == 7006
    assert not list(filled.blobs.folder.iterdir())
    assert filled.installed() == ()
    with pytest.raises(ModelMissingError, match="not installed"):
        filled.remove("m")


def test_remove_keeps_what_another_model_shares(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    entries = []
    for model_id, own in (("one", b"1" * 50), ("two", b"2" * 60)):
        files = {"shared.bin": b"same" * 100, "own.bin": own}
        name, data = wheel(model_id, {f"{model_id}/{n}": d for n, d in files.items()})
        (stick / name).write_bytes(data)
        archive = {"python": f"{model_id}==1.0", "file": name, **pinned(data)}
        entries.append(model(model_id, variant(files, source([archive], {"/": f"{model_id}/"}))))
    store = store_of(tmp_path, *entries)
    pull(store, ["one", "two"], from_dir=stick)
    assert store.remove("one") == 50
    assert set(store.files("two")) == {"shared.bin", "own.bin"}


def test_an_engine_of_the_system_says_how_to_install_it(tmp_path: Path) -> None:
    store = store_of(tmp_path, model("tess", extra='install = "apt install tess"'))
    with pytest.raises(ModelMissingError, match="apt install tess"):
        store.files("tess")
    with pytest.raises(ConfigError, match="apt install tess"):
        pull(store, ["tess"])


def test_two_stores_on_one_root_see_the_same_models(filled: ModelStore) -> None:
    other = ModelStore(filled.root, Catalogue(dict(filled.catalogue.entries)))
    assert [model.id for model in other.installed()] == ["m"]


def test_a_blob_is_absent_until_all_of_it_is_right(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    for chunks in ([b"ab"], [b"abcd"], [b"abx"]):
        with pytest.raises(ModelCorruptError, match="wrong"):
            blobs.add(chunks, 3, sha(b"abc"), label="x")
        assert list(blobs.folder.iterdir()) == []
    path = blobs.add([b"a", b"bc"], 3, sha(b"abc"), label="x")
    assert path.read_bytes() == b"abc"
    assert path.stat().st_mode & 0o222 == 0


def test_a_damaged_blob_counts_as_absent(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    path = blobs.add([b"abc"], 3, sha(b"abc"), label="x")
    overwrite(path, b"abd")
    assert not blobs.has(sha(b"abc"), 3)
    assert not path.exists()


def test_blobs_are_copied_where_the_disk_has_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("edge_runtime.bundles.blobs.os.link", no_links)
    store, stick = wheel_store(tmp_path, FILES)
    pull(store, ["m"], from_dir=stick)
    assert store.files("m")["model.bin"].read_bytes() == FILES["model.bin"]


@pytest.mark.parametrize("root", ["/dev/null/models", "/sys/edge-models"])
def test_a_root_that_cannot_be_written_is_a_storage_error(tmp_path: Path, root: str) -> None:
    known, stick = wheel_store(tmp_path, FILES)
    store = ModelStore(Path(root), known.catalogue)
    with pytest.raises(StorageError, match=root):
        pull(store, ["m"], from_dir=stick)
    with pytest.raises(ModelMissingError):
        store.files("m")
