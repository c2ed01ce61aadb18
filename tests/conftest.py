"""Shared fixtures."""

from __future__ import annotations

import gc
import os
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from edge_runtime.bundles import ModelStore
from edge_runtime.config import load_settings
from edge_runtime.errors import ModelError

# How long an example takes depends on what else the machine does: only results are asserted.
settings.register_profile("edge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edge")

# Two workers share the cores: threads of one's tiny models would only wait for the other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that runs the tests in the background ignores Ctrl-C for them, and programs started here
# would inherit that; the tests that press it need it to work.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection(session: pytest.Session) -> None:
    # Looking for garbage among thousands of modules takes a quarter of collecting.
    gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs a module, so that what its tests share is made once."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish(session: pytest.Session) -> None:
    # What was imported stays, and is not looked through for garbage again and again.
    gc.freeze()
    gc.enable()
    if session.config.getoption("loadgroup", False):
        # Where the two do not fit, pytest-xdist does without groups and says nothing.
        assert all("@" in item.nodeid for item in session.items), "pytest-xdist ignores groups"


ModelFiles = Callable[[str], Mapping[str, Path]]


@pytest.fixture(scope="session")
def model_files() -> ModelFiles:
    """Verified files of a catalogued model, by name; each model is verified once a session."""
    store = ModelStore(load_settings().models_dir)

    @cache
    def files(model_id: str) -> Mapping[str, Path]:
        try:
            return store.files(model_id)
        except ModelError as error:
            pytest.fail(f"{error}", pytrace=False)

    return files


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Makes empty databases with the newest schema on a server of this session's own."""
    import psycopg
    from sqlalchemy.engine import make_url

    from bench.postgres import available, private_postgres
    from sync.central.database import Database

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
