"""What a hostile or broken repository may try, and that the device refuses it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile
from updater_kit import NOW, Pieces, Simulator, Visitor

from sync.errors import SyncError, UpdateRefusedError, UpdateTooSlowError
from sync.updater.clock import BELIEVED_AHEAD, issued_field
from sync.updater.repository import Repository
from sync.updater.transfer import MirrorFetcher


@pytest.fixture
def simulator() -> Simulator:
    return Simulator()


@pytest.fixture
def device(tmp_path: Path, simulator: Simulator) -> Visitor:
    return Visitor(tmp_path, simulator)


def test_a_signed_target_arrives(device: Visitor, simulator: Simulator) -> None:
    simulator.update(b"weights", "models/m.gguf")
    assert device.read("models/m.gguf") == b"weights"
    assert device.version("timestamp") == 2


def test_an_older_timestamp_is_refused_as_a_rollback(device: Visitor, simulator: Simulator) -> None:
    old = simulator.files["/metadata/timestamp.json"]
    simulator.update()
    device.refresh()
    simulator.files["/metadata/timestamp.json"] = old
    with pytest.raises(UpdateRefusedError, match="version"):
        device.refresh()
    assert device.version("timestamp") == 2


def test_an_older_targets_version_in_a_new_snapshot_is_refused(
    device: Visitor, simulator: Simulator
) -> None:
    simulator.update()
    device.refresh()
    simulator.snapshot.meta["targets.json"] = MetaFile(1)
    simulator.publish("snapshot", "timestamp")
    with pytest.raises(UpdateRefusedError, match="version"):
        device.refresh()
    assert device.version("targets") == 2


def test_a_frozen_repository_is_refused_once_its_timestamp_has_expired(
    device: Visitor, simulator: Simulator
) -> None:
    device.refresh()
    device.wall = NOW + timedelta(days=31)
    with pytest.raises(UpdateRefusedError, match="expired"):
        device.refresh()


def test_parts_of_two_releases_are_not_mixed(device: Visitor, simulator: Simulator) -> None:
    simulator.update(b"one")
    old = simulator.files["/metadata/2.targets.json"]
    simulator.update(b"two")
    simulator.files["/metadata/3.targets.json"] = old
    with pytest.raises(UpdateRefusedError):
        device.refresh()
    assert not (device.metadata / "targets.json").exists()


def test_a_target_of_another_release_is_refused(device: Visitor, simulator: Simulator) -> None:
    simulator.update(b"one")
    path = next(p for p in simulator.files if p.startswith("/targets/"))
    simulator.files[path] = b"two"
    with pytest.raises(UpdateRefusedError, match="file"):
        device.read()


@pytest.mark.parametrize("path", ["/metadata/timestamp.json", "/metadata/2.root.json"])
def test_endless_metadata_is_cut_off(device: Visitor, simulator: Simulator, path: str) -> None:
    simulator.answer = lambda p, r: (
        httpx.Response(200, stream=Pieces(b"{", endless=True)) if p == path else None
    )
    with pytest.raises(UpdateRefusedError, match="exceeding"):
        device.refresh()
    assert device.fetcher.received < 2_000_000


def test_an_endless_target_is_cut_off_at_its_signed_length(
    device: Visitor, simulator: Simulator
) -> None:
    simulator.update(b"x" * 100)
    simulator.answer = lambda p, r: (
        httpx.Response(200, stream=Pieces(b"x" * 100, endless=True)) if "/targets/" in p else None
    )
    with pytest.raises(UpdateRefusedError, match="longer"):
        device.read()
    assert device.fetcher.received < 1_000_000
    assert sum(p.stat().st_size for p in (device.home / "incoming").iterdir()) <= 100


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_metadata_signed_by_the_wrong_key_is_refused(
    device: Visitor, simulator: Simulator, role: str
) -> None:
    simulator.signers[role] = [CryptoSigner.generate_ed25519()]
    simulator.publish("targets", "snapshot", "timestamp")
    with pytest.raises(UpdateRefusedError, match=role):
        device.refresh()


def test_a_root_without_its_threshold_is_refused(device: Visitor, simulator: Simulator) -> None:
    simulator.signers["root"].pop()
    simulator.publish("root")
    with pytest.raises(UpdateRefusedError, match="root"):
        device.refresh()
    assert device.version("root") == 1


def test_a_new_root_that_only_its_own_keys_sign_is_refused(
    device: Visitor, simulator: Simulator
) -> None:
    for signer in simulator.signers["root"]:
        simulator.root.revoke_key(signer.public_key.keyid, "root")
    simulator.signers["root"] = []
    simulator.add_key("root")
    simulator.add_key("root")
    simulator.publish("root")
    with pytest.raises(UpdateRefusedError, match="root"):
        device.refresh()


def test_rotated_keys_are_followed_and_the_old_ones_no_longer_count(
    device: Visitor, simulator: Simulator
) -> None:
    device.refresh()
    stolen = simulator.signers["timestamp"]
    simulator.root.revoke_key(stolen[0].public_key.keyid, "timestamp")
    simulator.signers["timestamp"] = []
    simulator.add_key("timestamp")
    simulator.publish("root", "timestamp")
    device.refresh()
    assert device.version("root") == 2
    simulator.signers["timestamp"] = stolen
    simulator.publish("timestamp")
    with pytest.raises(UpdateRefusedError, match="timestamp"):
        device.refresh()


def test_a_device_follows_every_root_it_missed(device: Visitor, simulator: Simulator) -> None:
    for _ in range(5):
        simulator.publish("root")
    device.refresh()
    assert device.version("root") == 6


def test_a_mirror_that_only_drips_is_given_up(device: Visitor, simulator: Simulator) -> None:
    seconds = iter(range(0, 10_000_000, 100))
    device.seconds = lambda: float(next(seconds))
    simulator.update(b"x" * 100_000)
    with pytest.raises(UpdateTooSlowError, match="sent"):
        device.refresh()


@pytest.mark.parametrize("limit", [100, 20_000])
def test_a_download_keeps_to_its_share_of_the_link_and_is_not_called_slow_for_it(
    tmp_path: Path, simulator: Simulator, limit: int
) -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    content = bytes(range(256)) * 2_000
    simulator.update(content)
    simulator.answer = lambda path, request: (
        httpx.Response(200, stream=Pieces(content)) if "/targets/" in path else None
    )
    fetcher = MirrorFetcher(
        [simulator.mirror], tmp_path / "in", limit=limit, clock=lambda: clock[0], sleep=sleep
    )
    (tmp_path / "metadata").mkdir()
    root = simulator.first_root
    visit = Repository(tmp_path / "metadata", fetcher, *fetcher.urls, root=root, wall=NOW)
    visit.refresh()
    assert visit.read("file", 10_000_000) == content
    assert clock[0] == pytest.approx(fetcher.received / limit)


def test_a_broken_transfer_goes_on_where_it_stopped(device: Visitor, simulator: Simulator) -> None:
    content = bytes(range(256)) * 1000
    simulator.update(content)
    cuts = [100_000, 60_000, 20_000]

    def breaking(path: str, request: httpx.Request) -> httpx.Response | None:
        if "/targets/" not in path or not cuts:
            return None
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        body = Pieces(content[start:], cut=cuts.pop(0))
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return httpx.Response(206 if start else 200, headers={"Content-Range": span}, stream=body)

    simulator.answer = breaking
    assert device.read() == content
    assert device.fetcher.received < len(content) + 5_000
    ranges = [wanted for path, wanted in simulator.requests if "/targets/" in path]
    assert ranges == ["", "bytes=100000-", "bytes=160000-", "bytes=180000-"]


def test_a_new_process_goes_on_with_the_part_of_the_last(
    device: Visitor, simulator: Simulator
) -> None:
    content = bytes(range(256)) * 1000
    simulator.update(content)
    simulator.answer = lambda p, r: (
        httpx.Response(200, stream=Pieces(content, cut=150_000)) if "/targets/" in p else None
    )
    with pytest.raises(SyncError):
        device.read()
    simulator.answer = lambda p, r: None
    assert device.read() == content
    assert simulator.requests[-1][1].startswith("bytes=")


def test_a_poisoned_beginning_is_thrown_away_and_the_file_still_arrives(
    device: Visitor, simulator: Simulator
) -> None:
    simulator.update(b"right" * 100)
    repository = device.refresh()
    target = repository.find("file")
    assert target is not None
    url = f"{simulator.base}/targets/{target.hashes['sha256']}.file"
    part = device.fetcher.part(url)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"wrong" * 50)
    assert repository.read("file", 1000) == b"right" * 100
    assert not part.exists()


def test_a_mirror_that_does_not_verify_is_passed_over(tmp_path: Path) -> None:
    good, bad = Simulator(), Simulator("http://bad")
    good.update(b"right")
    device = Visitor(tmp_path, good, [bad, good])
    assert device.read() == b"right"


def test_a_dead_mirror_does_not_stop_an_update(tmp_path: Path) -> None:
    good, dead = Simulator(), Simulator("http://dead")
    good.update(b"right")

    def refuse(path: str, request: httpx.Request) -> httpx.Response | None:
        raise httpx.ConnectError("refused")

    dead.answer = refuse
    assert Visitor(tmp_path, good, [dead, good]).read() == b"right"


def test_without_any_mirror_the_update_waits(device: Visitor, simulator: Simulator) -> None:
    simulator.answer = lambda p, r: httpx.Response(503)
    with pytest.raises(SyncError, match="503"):
        device.refresh()


def test_a_clock_reset_to_1970_is_not_believed(device: Visitor, simulator: Simulator) -> None:
    device.refresh()
    simulator.timestamp.expires = NOW + timedelta(days=80)
    simulator.timestamp.unrecognized_fields = issued_field(NOW + timedelta(days=60))
    simulator.publish("timestamp")
    device.wall = NOW + timedelta(days=61)
    simulator.root.expires = simulator.targets.expires = NOW + timedelta(days=700)
    simulator.snapshot.expires = NOW + timedelta(days=700)
    simulator.publish("root", "targets", "snapshot", "timestamp")
    device.refresh()
    device.wall = datetime(1970, 1, 1, tzinfo=UTC)
    repository = device.refresh()
    assert repository.clock == "behind"
    simulator.timestamp.expires = NOW + timedelta(days=59)
    simulator.publish("timestamp")
    with pytest.raises(UpdateRefusedError, match="expired"):
        device.refresh()


def test_a_clock_that_says_2040_neither_stops_updates_nor_leaves_a_trace(
    device: Visitor, simulator: Simulator
) -> None:
    simulator.update(b"new")
    device.wall = datetime(2040, 1, 1, tzinfo=UTC)
    assert device.read() == b"new"
    assert device.repository().clock == "ahead"
    device.wall = NOW + timedelta(days=1)
    assert device.refresh().clock == "believed"


def test_a_clock_moderately_ahead_is_believed_and_expiry_holds(
    device: Visitor, simulator: Simulator
) -> None:
    device.wall = NOW + BELIEVED_AHEAD
    with pytest.raises(UpdateRefusedError, match="expired"):
        device.refresh()


def test_a_stolen_timestamp_key_cannot_stop_updates_for_good(
    device: Visitor, simulator: Simulator
) -> None:
    simulator.timestamp.unrecognized_fields = issued_field(NOW + timedelta(days=4000))
    simulator.timestamp.expires = NOW + timedelta(days=5000)
    simulator.publish("timestamp")
    device.refresh()
    with pytest.raises(UpdateRefusedError, match="expired"):
        device.refresh()
    old = simulator.signers["timestamp"].pop()
    simulator.root.revoke_key(old.public_key.keyid, "timestamp")
    simulator.add_key("timestamp")
    simulator.timestamp.unrecognized_fields = issued_field(NOW)
    simulator.publish("root", "timestamp")
    with pytest.raises(UpdateRefusedError, match="expired"):
        device.refresh()
    device.refresh()
    assert device.version("root") == 2


def test_grace_reaches_past_expiry_but_never_before_the_last_signed_time(
    device: Visitor, simulator: Simulator
) -> None:
    device.wall = NOW + timedelta(days=40)
    device.repository(grace=timedelta(days=30)).refresh()
    simulator.timestamp.unrecognized_fields = issued_field(NOW + timedelta(days=39))
    simulator.timestamp.expires = NOW + timedelta(days=60)
    simulator.publish("timestamp")
    with pytest.raises(UpdateRefusedError, match="expired"):
        repository = device.repository(grace=timedelta(days=30))
        repository.refresh()
        device.repository(grace=timedelta(days=30)).refresh()


def test_a_lost_root_file_is_made_good_from_the_given_root(
    device: Visitor, simulator: Simulator
) -> None:
    simulator.publish("root")
    device.refresh()
    (device.metadata / "root.json").unlink()
    device.refresh()
    assert device.version("root") == 2


def test_damaged_kept_metadata_is_fetched_anew(device: Visitor, simulator: Simulator) -> None:
    device.refresh()
    for name in ("timestamp.json", "snapshot.json", "targets.json"):
        (device.metadata / name).write_bytes(b"")
    device.refresh()
    assert Metadata.from_bytes((device.metadata / "targets.json").read_bytes())


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 5000, b"null", b"\xff\xfe", b'{"signed":1}'])
def test_metadata_that_is_no_metadata_is_refused_in_one_sentence(
    device: Visitor, simulator: Simulator, content: bytes
) -> None:
    simulator.files["/metadata/timestamp.json"] = content
    with pytest.raises(UpdateRefusedError) as caught:
        device.refresh()
    assert caught.value.hint
