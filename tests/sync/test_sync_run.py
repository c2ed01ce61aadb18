"""``edge-sync run`` against ``edge-central serve``, both as programs: turns go up, a release comes
down, and both sides say so."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.x509.oid import NameOID
from sync_kit import turn
from typer import Typer
from typer.testing import CliRunner

from edge_runtime.bundles.blobs import BlobStore
from edge_runtime.bundles.card import Bar, QualityCard
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.config import load_settings
from edge_runtime.journal import Journal
from sync.central.cli import app as central_app
from sync.cli import app as device_app
from sync.updater.home import UpdateHome

TOKEN = "operators-token-of-the-tests"
CENTRAL = "from sync.central.start import main; main()"
DEVICE = "from sync.cli import main; main()"
PATIENCE_S = 240
LOOPBACK = ip_address("127.0.0.1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where device and server of this test keep everything, as their settings say."""
    for name, value in {
        "PYTHONUNBUFFERED": "1",
        "EDGE_DATA_DIR": str(tmp_path / "till"),
        "EDGE_MODELS_DIR": str(tmp_path / "models"),
        "EDGE_PROFILE": "lite",
        "EDGE_CENTRAL_DATA_DIR": str(tmp_path / "central"),
        "EDGE_CENTRAL_OPERATOR_TOKEN": TOKEN,
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@contextmanager
def running(program: str, *words: str, log: Path) -> Iterator[None]:
    """A program that runs until it is told to stop, and then stops well."""
    with log.open("w") as output:
        command = [sys.executable, "-c", program, *words]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    except BaseException:
        print(log.read_text()[-3000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(PATIENCE_S)
    # The server ends by the signal it was sent, once everything is closed.
    assert status in {0, -signal.SIGTERM}, log.read_text()[-3000:]


def called(app: Typer, *words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def until(found: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if (value := found()) is not None:
            return value
        time.sleep(0.2)
    raise AssertionError(f"never {what}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def small_bundle(folder: Path) -> Path:
    """A bundle without any model: it is tried in no time."""
    card = QualityCard("0" * 64, "held out", {"accuracy": 0.95}, {"accuracy": Bar(0.9)})
    components = []
    for name, kind, data in (
        ("notes/words.txt", "txt", b"welcome"),
        ("cards/all.json", "card", card.to_json()),
    ):
        digest = hashlib.sha256(data).hexdigest()
        BlobStore(folder).add([data], len(data), digest, label=name)
        components.append(Component(name, len(data), digest, kind, "MIT"))
    path = folder / "bundles" / "retail" / "1.0.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(BundleManifest("retail", "1.0", "0.1", tuple(components)).to_json())
    return path


@pytest.mark.timeout(900)
def test_turns_go_up_and_a_release_comes_down_between_the_two_programs(place: Path) -> None:
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    with closing(Journal.open(place / "till" / "journal.db")) as journal:
        for number in range(5):
            journal.record(turn(number), state_json=None)
    called(central_app, "repository", "init", place / "offline")
    called(central_app, "release", small_bundle(place / "made"))
    UpdateHome(load_settings()).trusted_root(place / "offline" / "1.root.json")
    with ExitStack() as programs, httpx.Client(base_url=server, timeout=60) as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"

        def answer(path: str) -> Any:
            with suppress(httpx.TransportError):
                return http.get(path).json()
            return None

        central = running(CENTRAL, "serve", "--port", str(port), log=place / "serve.log")
        programs.enter_context(central)
        until(lambda: answer("/health"), "served")
        code = http.post("/v1/enrolments", json={}).json()["code"]
        called(device_app, "enroll", server, "--code", code)
        offer = {"release": "retail-1.0", "stages": [{"percent": 100}]}
        rollout = http.post("/v1/rollouts", json=offer).json()["id"]
        programs.enter_context(running(DEVICE, "run", "--every", "1", log=place / "run.log"))

        def on_trial() -> Any:
            updates = answer(f"/v1/rollouts/{rollout}/devices")
            return updates if updates and updates[0]["state"] == "probation" else None

        until(on_trial, "on trial")
        (device,) = answer("/v1/devices")
        status = json.loads(called(device_app, "status", "--json"))
    assert device["device_id"] == status["device_id"] == journal.device_id
    assert (status["server"], status["pending"], status["highest_seq"]) == (server, {}, 10)
    assert (status["running"]["bundle"], status["running"]["version"]) == ("retail", "1.0")
    assert status["on_trial"]
    assert status["last_push"] is not None
    exported = place / "turns.jsonl"
    called(central_app, "export", "--since", "2026-01-01", "--out", exported)
    assert len(exported.read_text().splitlines()) == 5


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "central of the tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOOPBACK)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certified, secret = folder / "cert.pem", folder / "key.pem"
    certified.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certified, secret


@pytest.mark.timeout(900)
def test_over_tls_a_device_talks_only_to_a_server_whose_authority_it_trusts(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(place)
    port = free_port()
    words = ["serve", "--port", str(port), "--tls-cert", str(cert), "--tls-key", str(key)]
    with closing(Journal.open(place / "till" / "journal.db")) as journal:
        journal.record(turn(1), state_json=None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, ExitStack() as programs:
        manager.bind(str(place / "notify"))
        manager.settimeout(PATIENCE_S)
        with monkeypatch.context() as watched:
            watched.setenv("NOTIFY_SOCKET", str(place / "notify"))
            programs.enter_context(running(CENTRAL, *words, log=place / "serve.log"))
            while b"READY=1" not in manager.recv(100):
                pass
        code = json.loads(called(central_app, "enroll", "--json"))["code"]
        address = f"https://127.0.0.1:{port}"
        stranger = CliRunner().invoke(device_app, ["enroll", address, "--code", code])
        assert (stranger.exit_code, "cannot be reached" in stranger.output) == (6, True)
        called(device_app, "enroll", address, "--code", code, "--ca", cert)
        assert json.loads(called(device_app, "push", "--json"))["sent"] == 2
        plain = CliRunner().invoke(device_app, ["enroll", address[:4] + address[5:], "--code", "x"])
        assert plain.exit_code == 6
