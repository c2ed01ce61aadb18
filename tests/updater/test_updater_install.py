"""From a signed release to a bundle on trial, and everything that must not get that far."""

from __future__ import annotations

import random
import shutil
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
from device_kit import Till, Works, sha
from securesystemslib.signer import CryptoSigner
from updater_kit import Pieces

from edge_runtime.errors import ConfigError, ModelCorruptError, ModelError, StorageError
from sync.delta import make_delta
from sync.errors import SyncError, UpdateRefusedError
from sync.publishing import change_root
from sync.publishing.roots import replace_key

MODEL = random.Random(1).randbytes(60_000)
FILES = {"llm/model.gguf": MODEL, "pack/replies.toml": b"hello"}


def test_a_release_arrives_and_runs_on_trial(till: Till, works: Works) -> None:
    works.publish("1", FILES)
    done = till.pull()
    assert (done.status, done.fetched, done.reused) == ("installed", 2, 0)
    assert till.running() == FILES
    assert till.home.slots.state.on_trial
    assert till.pull().status == "present"


def test_only_what_changed_is_fetched(till: Till, works: Works) -> None:
    works.publish("1", FILES)
    till.pull()
    till.home.slots.commit()
    works.publish("2", {**FILES, "adapter.gguf": b"adapter" * 100})
    done = till.pull()
    assert (done.reused, done.fetched) == (2, 1)
    assert till.received < 20_000
    assert len(till.running()) == 3


@pytest.mark.parametrize("by", ["an earlier bundle", "the device's own models"])
def test_of_a_model_that_is_here_only_the_new_adapter_travels(
    till: Till, works: Works, by: str
) -> None:
    if by == "an earlier bundle":
        works.publish("1", {**FILES, "llm/adapter.gguf": random.Random(2).randbytes(3_000)})
        till.pull()
        till.home.slots.commit()
    else:
        for data in FILES.values():
            till.home.blobs.add([data], len(data), sha(data), label="pulled before")
    adapter = random.Random(3).randbytes(3_000)
    works.publish("2", {**FILES, "llm/adapter.gguf": adapter})
    served: dict[str, int] = {}
    respond = works.respond

    def counted(request: httpx.Request) -> httpx.Response:
        response = respond(request)
        if isinstance(response.stream, Pieces):
            served[request.url.path] = len(response.stream.body)
        return response

    works.respond = counted  # type: ignore[method-assign]
    done = till.pull()
    assert (done.fetched, done.reused, done.patched) == (1, 2, 0)
    components = {path: size for path, size in served.items() if "/components/" in path}
    assert list(components.values()) == [len(adapter)]
    assert sha(adapter) in next(iter(components))
    assert till.received == sum(served.values()) < len(MODEL) / 2
    assert till.running() == {**FILES, "llm/adapter.gguf": adapter}


def test_a_changed_model_arrives_as_a_delta(till: Till, works: Works, tmp_path: Path) -> None:
    works.publish("1", FILES)
    till.pull()
    till.home.slots.commit()
    changed = bytearray(MODEL)
    changed[10_000:10_010] = b"0123456789"
    new = {**FILES, "llm/model.gguf": bytes(changed)}
    works.manifest("2", new)
    delta = tmp_path / "delta"
    pair = (sha(MODEL), sha(bytes(changed)))
    make_delta(works.blobs.path(pair[0]), works.blobs.path(pair[1]), delta)
    works.publish("2", new, deltas={pair: delta})
    done = till.pull()
    assert (done.patched, done.fetched, done.reused) == (1, 0, 1)
    assert till.received < 20_000
    assert till.running() == new


def test_a_delta_that_makes_something_else_gives_way_to_the_whole_file(
    till: Till, works: Works, tmp_path: Path
) -> None:
    works.publish("1", FILES)
    till.pull()
    till.home.slots.commit()
    new = {**FILES, "llm/model.gguf": MODEL[::-1]}
    works.manifest("2", new)
    delta = tmp_path / "delta"
    make_delta(works.blobs.path(sha(MODEL)), works.blobs.path(sha(MODEL)), delta)
    works.publish("2", new, deltas={(sha(MODEL), sha(MODEL[::-1])): delta})
    done = till.pull()
    assert (done.patched, done.fetched) == (0, 1)
    assert till.running() == new


def test_a_stick_serves_as_well_as_the_network(till: Till, works: Works, tmp_path: Path) -> None:
    works.publish("1", FILES)
    stick = tmp_path / "stick"
    shutil.copytree(works.folder, stick)
    assert till.carry(stick).status == "installed"
    assert till.running() == FILES


def test_a_zip_file_serves_as_well_as_the_network(till: Till, works: Works, tmp_path: Path) -> None:
    works.publish("1", FILES)
    path = tmp_path / "update.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(works.folder.rglob("*")):
            archive.write(file, file.relative_to(works.folder).as_posix())
    assert till.carry(path).status == "installed"
    assert till.running() == FILES


def test_a_changed_file_on_a_stick_is_refused(till: Till, works: Works) -> None:
    works.publish("1", FILES)
    path = next((works.folder / "targets" / "components").glob(f"{sha(MODEL)}*"))
    path.chmod(0o644)
    path.write_bytes(MODEL[::-1])
    with pytest.raises(UpdateRefusedError, match=sha(MODEL)):
        till.carry(works.folder)
    assert till.running() == {}


@pytest.mark.parametrize("kind", ["file", "empty"])
def test_what_is_no_update_is_said_to_be_none(till: Till, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "given"
    if kind == "file":
        path.write_bytes(b"not a zip")
    else:
        path.mkdir()
    with pytest.raises(UpdateRefusedError, match="given"):
        till.carry(path)


def test_a_release_signed_by_too_few_is_refused(till: Till, works: Works) -> None:
    works.publish("1", FILES)
    till.pull()
    till.home.slots.commit()
    online = works.writer._signers
    object.__setattr__(online, "releases", online.releases[:1])
    works.publish("2", {"m": b"2"})
    with pytest.raises(UpdateRefusedError, match="releases"):
        till.pull()
    assert till.running() == FILES


def test_an_older_version_comes_back_only_by_a_new_decision(till: Till, works: Works) -> None:
    works.publish("1", {"m": b"1"})
    works.publish("2", {"m": b"2"})
    till.pull()
    till.home.slots.commit()
    with pytest.raises(UpdateRefusedError, match="decided before"):
        till.pull(version="1")
    works.publish("1", {"m": b"1"})
    assert till.pull().release.decision == 3
    assert till.running() == {"m": b"1"}


def test_an_offered_version_is_taken_though_another_is_the_newest(till: Till, works: Works) -> None:
    works.publish("1", {"m": b"1"})
    works.publish("2", {"m": b"2"}, latest=False)
    assert till.pull().release.version == "1"
    till.home.slots.commit()
    assert till.pull(version="2").release.version == "2"


def test_a_bundle_for_another_profile_or_runtime_is_refused(till: Till, works: Works) -> None:
    big = works.manifest("1", {"m": b"1"}, profiles=("full",))
    works.writer.publish(big, works.blobs)
    with pytest.raises(UpdateRefusedError, match="full"):
        till.pull()
    new = works.manifest("2", {"m": b"1"}, min_runtime="99.0")
    works.writer.publish(new, works.blobs)
    with pytest.raises(UpdateRefusedError, match="99"):
        till.pull()


@pytest.mark.parametrize(
    ("child", "why"),
    [
        ("import os; os.abort()", "ended with"),
        ('print(\'{"problem": "it is bad.", "turns": 0, "peak_mb": 1}\')', "it is bad"),
        ('print(\'{"problem": "", "turns": 0, "peak_mb": 90000}\')', "90000 MB"),
        ("print('nonsense')", "ended with 0"),
    ],
)
def test_a_bundle_that_fails_its_trial_run_is_not_switched_to(
    till: Till, works: Works, child: str, why: str
) -> None:
    works.publish("1", FILES)
    till.pull()
    till.home.slots.commit()
    works.publish("2", {"m": b"2"})
    with pytest.raises(ModelCorruptError, match=why):
        till.pull(command=(sys.executable, "-S", "-c", child))
    assert till.running() == FILES
    assert not till.home.slots.state.on_trial


def test_while_a_bundle_is_on_trial_the_next_one_waits(till: Till, works: Works) -> None:
    works.publish("1", {"m": b"1"})
    till.pull()
    till.home.slots.commit()
    works.publish("2", {"m": b"2"})
    till.pull()
    works.publish("3", {"m": b"3"})
    with pytest.raises(ModelError, match="on trial"):
        till.pull()
    assert till.home.slots.roll_back().active
    assert till.running() == {"m": b"1"}


def test_what_no_slot_uses_any_more_is_freed(till: Till, works: Works) -> None:
    for version in "123":
        works.publish(version, {"m": version.encode()})
        till.pull()
        till.home.slots.commit()
    assert not till.home.blobs.path(sha(b"1")).exists()
    assert till.home.blobs.path(sha(b"2")).exists()


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    till: Till, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    works.publish("1", FILES)
    usage = shutil.disk_usage(till.works.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StorageError, match="free"):
        till.pull()
    assert till.received < 20_000


def test_a_bundle_nobody_released_is_refused(till: Till, works: Works) -> None:
    with pytest.raises(UpdateRefusedError, match="no signed releases/shop"):
        till.pull()


def test_a_repository_that_lost_a_component_is_reported(till: Till, works: Works) -> None:
    works.publish("1", FILES)
    shutil.rmtree(works.folder / "targets" / "components")
    with pytest.raises(SyncError, match="404"):
        till.pull()


def test_another_root_is_not_trusted_silently(till: Till, tmp_path: Path) -> None:
    other = Works(tmp_path / "other")
    with pytest.raises(ConfigError, match="another root"):
        till.home.trusted_root(other.root)


def test_root_keys_are_replaced_by_a_threshold_of_old_and_new(till: Till, works: Works) -> None:
    works.publish("1", FILES)
    new = CryptoSigner.generate_ed25519()
    old = works.root_signers[0].public_key.keyid
    with pytest.raises(ConfigError, match="threshold"):
        change_root(works.folder, lambda r: None, works.root_signers[:1])
    version = change_root(
        works.folder,
        lambda root: replace_key(root, "root", old, new.public_key),
        [*works.root_signers[:2], new],
    )
    assert version == 2
    assert till.pull().status == "installed"
    assert (till.home.metadata / "root_history" / "2.root.json").is_file()


def test_the_same_version_with_other_content_is_not_published(works: Works) -> None:
    works.publish("1", {"m": b"1"})
    with pytest.raises(ConfigError, match="other content"):
        works.publish("1", {"m": b"2"})


def test_renewing_keeps_a_quiet_repository_valid(till: Till, works: Works) -> None:
    works.publish("1", FILES)
    works.writer.renew()
    assert till.pull().status == "installed"
