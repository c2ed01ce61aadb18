"""A whole central server with its signed repository, and one device that follows it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket
from typing import Any

import httpx
import uvicorn
from assistant_kit import ask
from device_kit import sha

from converters.bundle import BundleSpec, build_bundle
from edge_runtime.assistant import Assistant
from edge_runtime.bundles.blobs import BlobStore, sha256_of
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.config import Settings
from edge_runtime.journal import Journal
from edge_runtime.serving import BundleKeeper, prepared_rooms
from sync.central.app import create_app
from sync.central.database import Database
from sync.central.keys import KeyFolder
from sync.central.limits import Rates
from sync.central.objects import Objects
from sync.central.releases import prepare, record
from sync.central.repository import SignedRepository
from sync.errors import SyncError
from sync.exchange import Exchange
from sync.link import enroll, load_link, open_client
from sync.protocol.base import ProtocolError
from sync.updater.following import Followed, Follower
from sync.updater.home import UpdateHome

OPERATOR = "operators-token-of-the-journey"
QUESTION = "Can I return the coat I bought last week?"


@dataclass
class Centre:
    url: str
    database: Database
    repository: SignedRepository
    root: Path
    folder: Path

    def ask(self, method: str, path: str, **kw: Any) -> Any:
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=60, **kw)
        assert answer.is_success, answer.text
        return answer.json()

    def release(self, version: str, heads: Mapping[str, bytes]) -> None:
        """``edge-convert bundle``, then publish and offer it to every device."""
        made = self.folder / f"made-{version}"
        (made / "nlu").mkdir(parents=True)
        for name, data in heads.items():
            (made / "nlu" / name).write_bytes(data)
        subject = sha256_of(made / "nlu" / "task.onnx")
        card = QualityCard(subject, "held out", {"accuracy": 0.95}, {"accuracy": Bar(0.9)})
        (made / "nlu.card.json").write_bytes(card.to_json())
        spec = BundleSpec(
            "retail", version, cards=(made / "nlu.card.json",), components=(made / "nlu",)
        )
        self.publish(build_bundle(spec, self.folder / "store").path)

    def publish(self, path: Path) -> None:
        prepared = prepare(path)
        target = self.repository.publish(prepared)
        with self.database.write() as session:
            record(session, prepared, target, "test", datetime.now(UTC))

    def publish_files(self, version: str, files: Mapping[str, bytes]) -> None:
        """A bundle of any files, with a card that vouches for it."""
        card = QualityCard("0" * 64, "held out", {"accuracy": 0.95}, {"accuracy": Bar(0.9)})
        components = []
        store = BlobStore(self.folder / "store")
        for name, data in {**files, "cards/all.json": card.to_json()}.items():
            kind = "card" if name.startswith("cards/") else "bin"
            store.add([data], len(data), sha(data), label=name)
            components.append(Component(name, len(data), sha(data), kind, "MIT"))
        manifest = BundleManifest("retail", version, "0.1", tuple(components))
        path = self.folder / "store" / "bundles" / "retail" / f"{version}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest.to_json())
        self.publish(path)

    def roll_out(self, version: str) -> int:
        stages = [{"percent": 100}]
        body = {"release": f"retail-{version}", "stages": stages}
        started: int = self.ask("POST", "/v1/rollouts", json=body)["id"]
        return started

    def update(self, rollout: int) -> Any:
        (found,) = self.ask("GET", f"/v1/rollouts/{rollout}/devices")
        return found


@contextmanager
def centre(folder: Path) -> Iterator[Centre]:
    """A running server; leaving the block stops it."""
    objects = Objects(str(folder / "objects"))
    repository = SignedRepository(objects, KeyFolder(folder / "keys"), folder / "work")
    root = folder / "1.root.json"
    root.write_bytes(repository.create(KeyFolder(folder / "offline"), roots=3, threshold=2))
    database = Database(f"sqlite:///{folder / 'central.db'}")
    rates = Rates(attempts=1_000_000, device=1_000_000, operator=1_000_000)
    app = create_app(database, OPERATOR, objects=objects, rates=rates)
    listener = socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)  # a device that calls before the thread has begun waits its turn
    # A busy machine may let a device's connection wait for longer than the default of five seconds.
    config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_keep_alive=75)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield Centre(url, database, repository, root, folder)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        database.close()


class Shop:
    """One device: its runtime, which answers, and its agent, which follows the server."""

    def __init__(self, settings: Settings, root: Path, url: str, code: str) -> None:
        self.settings = settings
        self.home = UpdateHome(settings)
        self.home.trusted_root(root)
        self.journal = Journal.open(settings.data_dir / "journal.db")
        enroll(url, code, self.journal.device_id, settings.data_dir)
        link = load_link(settings.data_dir)
        assert link is not None
        self._client = open_client(link)
        self.follower = Follower(self.home, self.journal, Exchange(self._client))
        self.assistant = Assistant(settings, rooms=prepared_rooms(settings, self.home.slots))
        self.keeper = BundleKeeper(self.assistant, self.home.slots)
        self.keeper.look()

    def close(self) -> None:
        self.assistant.close()
        self._client.close()
        self.journal.close()

    def step(self, *, until: str, **later: float) -> Followed | None:
        """The agent's steps, so much later, until one gets through and ends in this state."""
        for _ in range(60):
            with suppress(SyncError, ProtocolError):
                followed = self.follower.step(datetime.now(UTC) + timedelta(**later))
                if until == (followed.state if followed else "nothing"):
                    return followed
        raise AssertionError(f"never {until}")

    def serve(self, customers: int) -> None:
        """Take over what was activated, then answer customers, one dialogue each."""
        self.keeper.look()
        for _ in range(customers):
            ask(self.assistant, QUESTION)

    @property
    def version(self) -> str:
        bundle = self.assistant.rooms.bundle
        return bundle.manifest.version if bundle else ""


def swapped(labels: bytes, one: str, other: str) -> bytes:
    """Heads that take one intent for another."""
    read = json.loads(labels)
    exchange = {one: other, other: one}
    read["intents"] = [exchange.get(name, name) for name in read["intents"]]
    return json.dumps(read).encode()
