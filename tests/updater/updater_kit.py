"""A TUF repository in memory that can be made to misbehave, and a device that visits it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from sync.updater.clock import issued_field
from sync.updater.repository import Repository
from sync.updater.transfer import Mirror, MirrorFetcher, Pace

BASE = "http://mirror"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Simulator:
    """One repository: change ``root``, ``targets``, …, then :meth:`publish` into ``files``."""

    def __init__(self, base: str = BASE) -> None:
        self.base = base
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.answer: Callable[[str, httpx.Request], httpx.Response | None] = lambda p, r: None
        until = NOW + timedelta(days=30)
        self.root = Root(expires=until, unrecognized_fields=issued_field(NOW))
        self.targets = Targets(expires=until)
        self.snapshot = Snapshot(expires=until)
        self.timestamp = Timestamp(expires=until, unrecognized_fields=issued_field(NOW))
        self.signers: dict[str, list[CryptoSigner]] = {}
        for role in ("root", "targets", "snapshot", "timestamp"):
            self.add_key(role)
        self.add_key("root")
        self.root.roles["root"].threshold = 2
        self.publish("root", "targets", "snapshot", "timestamp", bump=False)
        self.first_root = self.files["/metadata/1.root.json"]

    def add_key(self, role: str) -> CryptoSigner:
        signer = CryptoSigner.generate_ed25519()
        self.root.add_key(signer.public_key, role)
        self.signers.setdefault(role, []).append(signer)
        return signer

    def add_target(self, name: str, content: bytes) -> None:
        target = TargetFile.from_data(name, content, ["sha256"])
        self.targets.targets[name] = target
        folder, slash, file = name.rpartition("/")
        self.files[f"/targets/{folder}{slash}{target.hashes['sha256']}.{file}"] = content

    def publish(self, *roles: str, bump: bool = True) -> None:
        """Sign and serve these roles, in this order."""
        for role in roles:
            signed = getattr(self, role)
            signed.version += bump
            metadata = Metadata(signed)
            for signer in self.signers[role]:
                metadata.sign(signer, append=True)
            content = metadata.to_bytes()
            name = "timestamp" if role == "timestamp" else f"{signed.version}.{role}"
            self.files[f"/metadata/{name}.json"] = content
            if role == "targets":
                self.snapshot.meta["targets.json"] = MetaFile(signed.version)
            elif role == "snapshot":
                self.timestamp.snapshot_meta = MetaFile(signed.version)

    def update(self, content: bytes = b"content", name: str = "file") -> None:
        """A new release of one target, all roles signed."""
        self.add_target(name, content)
        self.publish("targets", "snapshot", "timestamp")

    def respond(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        wanted = request.headers.get("Range", "")
        self.requests.append((path, wanted))
        if (special := self.answer(path, request)) is not None:
            return special
        body = self.files.get(path)
        if body is None:
            return httpx.Response(404)
        return ranged(body, wanted)

    @property
    def mirror(self) -> Mirror:
        client = httpx.Client(transport=httpx.MockTransport(self.respond))
        return Mirror(f"{self.base}/metadata/", f"{self.base}/targets/", client)


def ranged(body: bytes, wanted: str) -> httpx.Response:
    if not (found := re.match(r"bytes=(\d+)-", wanted)):
        return httpx.Response(200, stream=Pieces(body))
    start = int(found[1])
    if start >= len(body):
        return httpx.Response(416)
    headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
    return httpx.Response(206, headers=headers, stream=Pieces(body[start:]))


class Pieces(httpx.SyncByteStream):
    """A body in pieces; it may break off, or go on for ever."""

    def __init__(self, body: bytes, *, cut: int | None = None, endless: bool = False) -> None:
        self.body, self.cut, self.endless = body, cut, endless

    def __iter__(self) -> Iterator[bytes]:
        body = self.body if self.cut is None else self.body[: self.cut]
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]
        if self.cut is not None:
            raise httpx.ReadError("the line broke")
        while self.endless:
            yield bytes(50_000)


@dataclass
class Visitor:
    """A device's side: its folders, its clock and what it was given to trust."""

    home: Path
    simulator: Simulator
    mirrors: list[Simulator] = field(default_factory=list)
    wall: datetime = NOW
    seconds: Callable[[], float] = lambda: 0.0
    root: bytes | None = None

    def __post_init__(self) -> None:
        self.metadata = self.home / "metadata"
        self.metadata.mkdir(parents=True, exist_ok=True)
        self.root = self.root or self.simulator.first_root

    def repository(self, **options: Any) -> Repository:
        mirrors = [s.mirror for s in (self.mirrors or [self.simulator])]
        pace = Pace(window_s=60.0, bytes_per_s=512)
        self.fetcher = MirrorFetcher(mirrors, self.home / "incoming", pace=pace, clock=self.seconds)
        first = mirrors[0]
        urls = (first.metadata_url, first.targets_url)
        return Repository(
            self.metadata, self.fetcher, *urls, root=self.root, wall=self.wall, **options
        )

    def refresh(self) -> Repository:
        repository = self.repository()
        repository.refresh()
        return repository

    def read(self, name: str = "file") -> bytes:
        return self.refresh().read(name, 10_000_000)

    def version(self, role: str) -> int:
        path = self.metadata / f"{role}.json"
        return int(Metadata.from_bytes(path.read_bytes()).signed.version)
