"""The whole turn where there is no network: proof that nothing is fetched after set-up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.cli_kit import Ran, edge, picture_of, prepared_data, receipt

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("cli")]

GUARD = """
import os, socket

def _refused(kind):
    def call(*arguments, **_):
        with open(os.environ["TESTS_NETWORK_LOG"], "a") as log:
            log.write(f"{kind} {arguments[1:] or arguments}\\n")
        raise OSError("no network in this test")
    return call

class Socket(socket.socket):
    def connect(self, address):
        local = self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1")
        return super().connect(address) if local else _refused("connect")(self, address)

    def connect_ex(self, address):
        return self.connect(address)

    def sendto(self, *arguments):
        return _refused("sendto")(self, *arguments)

socket.socket = Socket
for _name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    setattr(socket, _name, _refused(_name))
"""
"""For machines that let nobody make a namespace: attempts are refused and written down."""


@dataclass(frozen=True)
class Cable:
    """How a command is run with the cable out."""

    wrapped_in: Sequence[str]
    env: Mapping[str, str]
    log: Path

    def attempts(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Cable:
    folder = tmp_path_factory.mktemp("cable")
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    unshare = [shutil.which("unshare") or "unshare", "-n"]
    for wrapped_in in (unshare, [*unshare, "-r"]):
        try:
            probe = subprocess.run([*wrapped_in, "true"], capture_output=True, check=False)
        except OSError:
            break
        if probe.returncode == 0:
            return Cable(wrapped_in, proxies, folder / "log")
    (folder / "sitecustomize.py").write_text(GUARD)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    guard = {"PYTHONPATH": path, "TESTS_NETWORK_LOG": str(folder / "log")}
    return Cable((), {**proxies, **guard}, folder / "log")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_data(tmp_path_factory, "offline")


def offline(out: Cable, *arguments: str | Path, data: Path) -> Ran:
    ran = edge(*arguments, data=data, wrapped_in=out.wrapped_in, env=out.env)
    assert ran.code == 0, ran.out + ran.err
    assert out.attempts() == ""
    return ran


def test_there_is_no_network_there(out: Cable) -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    python = shutil.which("python3") or "python3"
    done = subprocess.run(
        [*out.wrapped_in, python, "-c", code],
        capture_output=True,
        env={**os.environ, **out.env},
        check=False,
    )
    assert done.returncode != 0
    out.log.unlink(missing_ok=True)


def test_a_policy_question(out: Cable, data: Path) -> None:
    answer = offline(out, "ask", "我上周买的外套不合适,能退吗?", "--json", data=data).json
    assert answer["sources"] == ["returns#clothing"]


def test_a_question_that_the_language_model_answers(out: Cable, data: Path, tmp_path: Path) -> None:
    question = "what colours does the coat come in?"
    answer = offline(out, "ask", question, "--json", data=data).json
    assert answer["timings_ms"]["generation"] > 0
    assert answer["sources"]
    assert answer["reply"]


def test_a_spoken_question_and_a_spoken_reply(out: Cable, data: Path, tmp_path: Path) -> None:
    asked, reply = tmp_path / "asked.wav", tmp_path / "reply.wav"
    offline(out, "speak", "我上周买的外套不合适，能退吗？", "-o", asked, data=data)
    ran = offline(out, "ask", "--audio", asked, "--speak", reply, "--json", data=data)
    assert ran.json["sources"] == ["returns#clothing"]
    assert reply.stat().st_size > 50_000


def test_a_picture(out: Cable, data: Path, tmp_path: Path) -> None:
    picture = receipt(tmp_path / "receipt.png")
    ran = offline(out, "ask", "开发票", "--image", picture, "--json", data=data)
    assert "212.00" in ran.json["ocr_text"]
    label = picture_of(tmp_path / "label.png", "Washing machine", "Error E2")
    ran = offline(out, "ocr", label, "--profile", "lite", "--json", data=data)
    assert "E2" in ran.json["text"]


def test_the_engines_of_the_doctor(out: Cable, data: Path) -> None:
    ran = offline(out, "doctor", "--profile", "lite", "--json", data=data)
    assert json.loads(ran.out)["healthy"]
