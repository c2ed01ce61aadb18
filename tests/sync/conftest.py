"""A central server on loopback, and a device that reports to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sync_kit import Central, served

from edge_runtime.journal import Journal
from sync.link import Link, enroll, open_client


@pytest.fixture
def central(tmp_path: Path) -> Iterator[Central]:
    with served(tmp_path / "central" / "central.db") as running:
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
