"""Objects in a folder and in S3: the same tests on both, S3 by a server of this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from edge_runtime.errors import ConfigError, StorageError
from sync.central.objects import Objects, is_name

CONTENT = bytes(range(256)) * 10_000


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server with a bucket called "fleet"."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        assert httpx.put(f"{address}/fleet").status_code == 200
        yield address
    finally:
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def objects(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Objects:
    if request.param == "folder":
        return Objects(str(tmp_path / "objects"))
    settings = {
        "ENDPOINT_URL": request.getfixturevalue("s3"), "REGION": "us-east-1", "ALLOW_HTTP": "true",
        "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return Objects(f"s3://fleet/{tmp_path.name}")


def streamed(objects: Objects, name: str, start: int, end: int) -> bytes:
    found = objects.find(name)
    assert found is not None

    async def whole() -> bytes:
        return b"".join([piece async for piece in objects.stream(found, start, end)])

    return asyncio.run(whole())


def test_what_is_put_is_found_read_and_streamed_in_parts(objects: Objects, tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(CONTENT)
    objects.put("repository/targets/a.bin", file)
    objects.put("repository/metadata/timestamp.json", b"{}")
    found = objects.find("repository/targets/a.bin")
    assert found is not None
    assert (found.size, bool(found.etag)) == (len(CONTENT), True)
    assert objects.read("repository/metadata/timestamp.json", limit=2) == b"{}"
    assert streamed(objects, "repository/targets/a.bin", 100, 2_000_000) == CONTENT[100:2_000_000]
    names = sorted((each.name, each.size) for each in objects.names("repository"))
    assert names == [
        ("repository/metadata/timestamp.json", 2), ("repository/targets/a.bin", len(CONTENT)),
    ]  # fmt: skip


def test_an_object_is_replaced_whole_and_can_be_forgotten(objects: Objects) -> None:
    objects.put("a/b", b"first")
    tag = objects.find("a/b")
    objects.put("a/b", b"second")
    assert objects.read("a/b", limit=100) == b"second"
    assert objects.find("a/b") != tag
    objects.delete("a/b")
    objects.delete("a/b")
    assert objects.find("a/b") is None


def test_what_is_absent_too_large_or_badly_named_is_refused(objects: Objects) -> None:
    objects.put("a", b"12345")
    with pytest.raises(StorageError, match="larger than 4"):
        objects.read("a", limit=4)
    with pytest.raises(StorageError):
        objects.read("absent", limit=4)
    for name in ("../a", "/a", "a//b", ".a", "a/.b", "a\\b", "", "a" * 300):
        assert not is_name(name)
        assert objects.find(name) is None
        with pytest.raises(StorageError, match="cannot be the name"):
            objects.put(name, b"")


def test_a_server_that_is_not_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for name, value in {"ENDPOINT_URL": address, "REGION": "x", "ALLOW_HTTP": "true",
                        "ACCESS_KEY_ID": "t", "SECRET_ACCESS_KEY": "t"}.items():  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    objects = Objects("s3://fleet", retry_config={"max_retries": 0})
    with pytest.raises(StorageError, match="cannot be used"):
        objects.put("a", b"b")
    with pytest.raises(ConfigError, match="cannot be kept"):
        Objects("ftp://somewhere")
