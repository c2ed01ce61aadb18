"""The publisher's works and one till, as the tests of this folder use them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from securesystemslib.signer import CryptoSigner
from updater_kit import ranged

from edge_runtime.bundles.blobs import BlobStore
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.config import Settings
from sync.publishing import Published, RepositoryWriter, Signers, create_repository
from sync.updater.fetching import METADATA, TARGETS, CarriedFetcher
from sync.updater.home import UpdateHome
from sync.updater.install import Installed, install
from sync.updater.repository import Repository
from sync.updater.transfer import Mirror, MirrorFetcher

PASSING = (sys.executable, "-S", "-c", 'print(\'{"problem": "", "turns": 0, "peak_mb": 9}\')')


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Works:
    """Keys, a repository in ``folder`` and a store of what is published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.blobs = BlobStore(folder / "store")
        self.root_signers = [CryptoSigner.generate_ed25519() for _ in range(3)]
        self.targets_signers = [CryptoSigner.generate_ed25519()]
        self.online = Signers(
            snapshot=CryptoSigner.generate_ed25519(),
            timestamp=CryptoSigner.generate_ed25519(),
            releases=(CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()),
            components=CryptoSigner.generate_ed25519(),
        )
        self.writer: RepositoryWriter = create_repository(
            self.folder, self.root_signers, self.targets_signers, self.online
        )

    @property
    def root(self) -> Path:
        return self.folder / "metadata" / "1.root.json"

    def manifest(self, version: str, files: Mapping[str, bytes], **fields: Any) -> BundleManifest:
        components = []
        for name, data in files.items():
            self.blobs.add([data], len(data), sha(data), label=name)
            components.append(Component(name, len(data), sha(data), "bin", "MIT"))
        return BundleManifest(
            "shop", version, fields.pop("min_runtime", "0.1"), tuple(components), **fields
        )

    def publish(self, version: str, files: Mapping[str, bytes], **options: Any) -> Published:
        return self.writer.publish(self.manifest(version, files), self.blobs, **options)

    def respond(self, request: httpx.Request) -> httpx.Response:
        path = self.folder / request.url.path.lstrip("/")
        if not path.is_file():
            return httpx.Response(404)
        return ranged(path.read_bytes(), request.headers.get("Range", ""))


class Till:
    """One device; ``pull`` and ``carry`` bring releases of bundle "shop"."""

    def __init__(self, folder: Path, works: Works) -> None:
        self.works = works
        self.settings = Settings(
            data_dir=folder / "data", models_dir=folder / "models", profile="lite"
        )
        self.home = UpdateHome(self.settings)
        self.home.trusted_root(works.root)
        self.received = 0

    def pull(self, **options: Any) -> Installed:
        client = httpx.Client(transport=httpx.MockTransport(self.works.respond))
        mirror = Mirror("http://works/metadata/", "http://works/targets/", client)
        fetcher = MirrorFetcher([mirror], self.home.incoming)
        try:
            return self._install(fetcher, mirror.metadata_url, mirror.targets_url, **options)
        finally:
            self.received = fetcher.received

    def carry(self, path: Path, **options: Any) -> Installed:
        return self._install(CarriedFetcher(path), METADATA, TARGETS, **options)

    def _install(
        self,
        fetcher: MirrorFetcher | CarriedFetcher,
        metadata_url: str,
        targets_url: str,
        command: Sequence[str] = PASSING,
        **options: Any,
    ) -> Installed:
        self.home.metadata.mkdir(parents=True, exist_ok=True)
        root = self.home.trusted_root()
        signed = Repository(self.home.metadata, fetcher, metadata_url, targets_url, root=root)
        return install(self.home, signed, "shop", command=command, **options)

    def running(self) -> dict[str, bytes]:
        active = self.home.slots.state.active
        if active is None:
            return {}
        return {name: p.read_bytes() for name, p in self.home.slots.files(active).items()}
