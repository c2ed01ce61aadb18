"""From a bundle to a device: keys, signed repository, release, rollout, download."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from central_kit import Fleet
from typer.testing import CliRunner

from edge_runtime.bundles.blobs import BlobStore
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.config import Settings
from edge_runtime.errors import StorageError
from sync.central.cli import app
from sync.central.keys import KeyFolder
from sync.central.repository import SignedRepository
from sync.errors import UpdateRefusedError
from sync.updater.home import UpdateHome
from sync.updater.install import Installed, install
from sync.updater.release import Release, component_path, release_path
from sync.updater.repository import Repository
from sync.updater.transfer import Mirror, MirrorFetcher

RUN = CliRunner()
PASSING = (sys.executable, "-S", "-c", 'print(\'{"problem": "", "turns": 0, "peak_mb": 9}\')')
WEIGHTS = bytes(range(256)) * 8_000


class Shop:
    """The server's commands on the fleet's database and objects, and a device of that fleet."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet = fleet
        self.data = folder / "central"
        self.offline = folder / "offline"
        self.store = folder / "store"
        self.home = UpdateHome(
            Settings(data_dir=folder / "till", models_dir=folder / "models", profile="lite")
        )
        fleet.enrol("till-1")

    def call(self, *words: object, code: int = 0) -> dict[str, Any]:
        """A command's JSON answer."""
        result = RUN.invoke(app, [*map(str, words), "--data-dir", str(self.data), "--json"])
        assert result.exit_code == code, result.output
        found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return found

    def bundle(self, version: str, weights: bytes = WEIGHTS, f1: float = 0.9) -> Path:
        """What ``edge-convert bundle`` leaves: a store with a manifest, a model and its card."""
        card = QualityCard(_sha(weights), "test", {"f1": f1}, {"f1": Bar(0.85)}).to_json()
        components = []
        for name, content, form in (("model", weights, "bin"), ("card", card, "card")):
            BlobStore(self.store).add([content], len(content), _sha(content), label=name)
            components.append(Component(name, len(content), _sha(content), form, "MIT"))
        made = BundleManifest("retail", version, "0.1", tuple(components))
        path = self.store / "bundles" / "retail" / f"{version}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.to_json())
        return path

    def released(self, version: str, *options: str, **bundle: Any) -> dict[str, Any]:
        return self.call("release", self.bundle(version, **bundle), *options)

    def visit(self) -> Repository:
        """The device asks the server, with its own credential, as ``edge-sync pull`` does."""
        client = self.fleet.http
        client.headers["Authorization"] = f"Bearer {self.fleet.tokens['till-1']}"
        base = f"{client.base_url}/v1/repository"
        mirror = Mirror(f"{base}/metadata/", f"{base}/targets/", client)
        self.home.metadata.mkdir(parents=True, exist_ok=True)
        root = self.home.trusted_root(self.offline / "1.root.json")
        self.fetcher = MirrorFetcher([mirror], self.home.incoming)
        urls = (mirror.metadata_url, mirror.targets_url)
        return Repository(self.home.metadata, self.fetcher, *urls, root=root)

    def newest(self) -> Release:
        """What the device would take, verified."""
        visit = self.visit()
        visit.refresh()
        return Release.from_json(visit.read(release_path("retail"), 10_000))

    def pull(self, version: str = "latest") -> Installed:
        return install(self.home, self.visit(), "retail", version=version, command=PASSING)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def shop(fleet: Fleet, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("EDGE_CENTRAL_DATABASE_URL", url)
    monkeypatch.setenv("EDGE_CENTRAL_OBJECTS", str(tmp_path / "objects"))
    made = Shop(fleet, tmp_path)
    made.call("repository", "init", made.offline)
    return made


def test_a_release_reaches_a_device_by_a_rollout(shop: Shop) -> None:
    release = shop.released("1.0")
    assert release["cards"]["card"]["metrics"] == {"f1": 0.9}
    started = shop.call("rollout", "start", release["id"], "--stage", "100", "--rule", "errors=0.1")
    assert started["state"] == "running"
    poll = shop.fleet.ask("POST", "/v1/poll", "till-1", json={"protocol": 1}).json()["offer"]
    assert (poll["name"], poll["version"], poll["sha256"]) == ("retail", "1.0", release["sha256"])
    done = shop.pull(poll["version"])
    assert (done.status, done.release.manifest) == ("installed", release["sha256"])
    assert shop.call("rollout", "pause", started["id"])["state"] == "paused"
    assert sum(shop.call("rollout", "list")["devices"].values()) == 1


def test_only_a_release_marked_latest_is_taken_without_an_offer(shop: Shop) -> None:
    shop.released("1.0")
    with pytest.raises(UpdateRefusedError, match="no signed releases/retail/latest"):
        shop.pull()
    shop.released("1.1", "--latest")
    assert shop.pull().release.version == "1.1"


def test_a_download_goes_on_where_it_stopped(shop: Shop) -> None:
    shop.released("1.0")
    repository = shop.visit()
    repository.refresh()
    target = repository.require(component_path(_sha(WEIGHTS)), len(WEIGHTS))
    name = f"components/{_sha(WEIGHTS)}.{_sha(WEIGHTS)}"
    part = shop.fetcher.part(f"{shop.fleet.http.base_url}/v1/repository/targets/{name}")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(WEIGHTS[:2_000_000])
    before = shop.fetcher.received
    with repository.opened(target) as file:
        assert file.read() == WEIGHTS
    assert shop.fetcher.received - before == len(WEIGHTS) - 2_000_000


def test_releasing_again_is_a_new_decision_and_other_content_is_refused(shop: Shop) -> None:
    first, again = shop.released("1.0", "--latest"), shop.released("1.0", "--latest")
    assert first == again
    assert shop.pull().release.decision == 2
    refused = shop.call("release", shop.bundle("1.0", weights=b"other"), code=2)
    assert "other content" in refused["error"]["message"]
    assert len(shop.fleet.get("/v1/releases")) == 1


def test_a_bundle_below_its_bars_is_not_released(shop: Shop) -> None:
    refused = shop.call("release", shop.bundle("1.0", f1=0.5), code=2)
    assert "misses its bars: f1 is 0.5" in refused["error"]["message"]
    assert shop.fleet.get("/v1/releases") == []


@pytest.mark.parametrize("key", ["releases", "components", "timestamp", "snapshot"])
def test_devices_follow_a_replaced_key_and_the_old_one_signs_nothing_more(
    shop: Shop, key: str
) -> None:
    shop.released("1.0", "--latest")
    assert shop.newest().version == "1.0"
    file = shop.data / "keys" / f"{key}.pem"
    old = file.read_bytes()
    shop.call("repository", "replace", key, shop.offline)
    shop.released("1.1", "--latest", weights=b"1.1")
    assert shop.newest().version == "1.1"
    file.write_bytes(old)
    before = sorted(found.name for found in shop.fleet.objects.names())
    refused = shop.call("release", shop.bundle("1.2", weights=b"1.2"), "--latest", code=8)
    assert "refused" in refused["error"]["message"]
    assert sorted(found.name for found in shop.fleet.objects.names()) == before
    assert shop.newest().version == "1.1"


def test_devices_follow_replaced_offline_keys(shop: Shop) -> None:
    shop.released("1.0", "--latest")
    assert shop.newest().version == "1.0"
    for key in ("root-1", "targets"):
        old = (shop.offline / f"{key}.pem").read_bytes()
        shop.call("repository", "replace", key, shop.offline)
        assert (shop.offline / f"{key}.pem").read_bytes() != old
    shop.released("1.1", "--latest", weights=b"1.1")
    assert shop.newest().version == "1.1"
    (shop.offline / "targets.pem").write_bytes(old)
    refused = shop.call("repository", "replace", "releases", shop.offline, code=8)
    assert "refused" in refused["error"]["message"]
    assert shop.newest().version == "1.1"


def test_a_lost_root_key_is_replaced_by_the_others(shop: Shop) -> None:
    (shop.offline / "root-2.pem").unlink()
    shop.call("repository", "replace", "root-2", shop.offline)
    shop.call("repository", "renew", "--offline", shop.offline)
    shop.released("1.0", "--latest")
    assert shop.newest().version == "1.0"
    (shop.offline / "root-1.pem").unlink()
    (shop.offline / "root-2.pem").unlink()
    refused = shop.call("repository", "replace", "root-2", shop.offline, code=2)
    assert "2 of the repository's are not here" in refused["error"]["message"]


@pytest.mark.parametrize("published", [False, True])
def test_a_replacement_that_was_cut_short_goes_on_where_it_stopped(
    shop: Shop, published: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = KeyFolder.settle

    def cut(folder: KeyFolder, in_force: set[str]) -> None:
        if len(in_force) == 1:  # the new key alone: devices can see it
            raise StorageError("cut")
        settle(folder, in_force)

    def cut_earlier(*_: object) -> None:
        raise StorageError("cut")

    with monkeypatch.context() as patched:
        if published:
            patched.setattr(KeyFolder, "settle", cut)
        else:
            patched.setattr(SignedRepository, "_bring_back", cut_earlier)
        shop.call("repository", "replace", "releases", shop.offline, code=StorageError.exit_code)
    successor = shop.data / "keys" / "releases.next.pem"
    assert successor.exists()
    shop.released("1.0", "--latest")
    assert successor.exists() is not published
    assert shop.newest().version == "1.0"
    shop.call("repository", "replace", "releases", shop.offline)
    assert not successor.exists()
    shop.released("1.1", "--latest", weights=b"x")
    assert shop.newest().version == "1.1"


def test_a_renewal_lets_devices_go_on_and_changes_no_decision(shop: Shop) -> None:
    shop.released("1.0", "--latest")
    first = shop.newest()
    shop.call("repository", "renew")
    assert shop.newest() == first


def test_commands_say_what_is_missing(shop: Shop, tmp_path: Path) -> None:
    twice = shop.call("repository", "init", tmp_path / "other", code=2)
    assert "holds a repository already" in twice["error"]["message"]
    unknown = shop.call("repository", "replace", "../etc", shop.offline, code=2)
    assert "no key called" in unknown["error"]["message"]
    (shop.data / "keys" / "releases.pem").unlink()
    keyless = shop.call("release", shop.bundle("1.0"), code=2)
    assert "repository init" in keyless["error"]["hint"]
    for name in shop.fleet.objects.names():
        shop.fleet.objects.delete(name.name)
    none = shop.call("release", shop.bundle("1.0"), code=2)
    assert "no update repository yet" in none["error"]["message"]


def test_private_keys_are_readable_by_their_owner_only_and_never_among_the_objects(
    shop: Shop,
) -> None:
    shop.released("1.0")
    kept = [*shop.offline.glob("*.pem"), *(shop.data / "keys").glob("*.pem")]
    assert len(kept) == 8
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)
    names = [found.name for found in shop.fleet.objects.names()]
    assert names
    assert not any(name.endswith(".pem") for name in names)
    for name in names:
        assert b"PRIVATE KEY" not in shop.fleet.objects.read(name, limit=2**24)
