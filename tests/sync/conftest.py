"""A central server on loopback, and a device that reports to it.

The server's database is SQLite; of a module that says ``BOTH_DATABASES``, also PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sync_kit import Central, served

from edge_runtime.journal import Journal
from sync.link import Link, enroll, open_client


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    both = getattr(metafunc.module, "BOTH_DATABASES", False)
    if both and "address" in metafunc.fixturenames:
        metafunc.parametrize("address", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path / 'central' / 'central.db'}"
    made: str = request.getfixturevalue("postgres")()
    return made


@pytest.fixture
def central(address: str) -> Iterator[Central]:
    with served(address) as running:
        yield running


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "device" / "journal.db")
    yield opened
    opened.close()


@pytest.fixture
def link(central: Central, journal: Journal, tmp_path: Path) -> Link:
    return enroll(central.url, central.code(), journal.device_id, tmp_path / "device")


@pytest.fixture
def client(link: Link) -> Iterator[httpx.Client]:
    with open_client(link) as opened:
        yield opened
