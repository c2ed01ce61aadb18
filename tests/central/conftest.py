"""The server on SQLite and on PostgreSQL: every test that asks for ``database`` runs on both."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from central_kit import Fleet, fleet_on
from sqlalchemy.engine import make_url

from bench.postgres import available, private_postgres
from sync.central.database import Database

BACKENDS = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Makes empty databases with the newest schema on a server of this session's own."""
    if not available():
        pytest.skip("PostgreSQL's programs are not installed")
    with private_postgres() as address:
        plain = address.replace("+psycopg", "")
        with psycopg.connect(plain, autocommit=True) as admin:
            admin.execute("CREATE DATABASE model")
            model = make_url(address).set(database="model")
            Database(model.render_as_string(hide_password=False)).close()

            def make() -> str:
                name = f"t{uuid.uuid4().hex}"
                admin.execute(f"CREATE DATABASE {name} TEMPLATE model")
                return make_url(address).set(database=name).render_as_string(hide_password=False)

            yield make


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'central.db'}"


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    if request.param == "sqlite":
        return sqlite_url
    made: str = request.getfixturevalue("postgres")()
    return made


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def fleet(database: Database, tmp_path: Path) -> Iterator[Fleet]:
    with fleet_on(database, tmp_path / "objects") as running:
        yield running
