"""``edge-central serve``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Annotated

import httpx
import typer
import uvicorn
from fastapi import FastAPI

from edge_runtime.commands.console import err, reported
from edge_runtime.errors import ConfigError
from edge_runtime.systemd import ALIVE, READY, tell_systemd
from sync.central.app import create_app
from sync.central.commands.common import DataDir
from sync.central.database import Database
from sync.central.objects import Objects
from sync.central.patience import PatientProtocol
from sync.central.settings import CentralSettings, load_central_settings, operator_token
from sync.central.worker import Worker


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (8770).")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the API until stopped."""
    with reported(as_json=False):
        settings = load_central_settings(
            host=host, port=port, tls_cert=tls_cert, tls_key=tls_key, data_dir=data_dir
        )
        _check_tls(settings)
        webhook = settings.webhook
        token = operator_token(settings)
        with closing(Database(settings.url)) as database, httpx.Client() as client:
            if not settings.operator_token.get_secret_value():
                err.print(f"operators' token: {settings.operator_token_file}", markup=False)
            app = create_app(
                database,
                token,
                objects=Objects(settings.objects_place),
                body_timeout_s=settings.body_timeout_s,
                rates=settings.rates,
            )
            server = server_for(app, settings)
            with _working(Worker(database, webhook=webhook, client=client), server):
                server.run()
        if not server.started:
            raise ConfigError(
                f"{settings.host}:{settings.port} cannot be listened on.",
                hint="Choose another with --host and --port.",
            )


def server_for(app: FastAPI, settings: CentralSettings) -> uvicorn.Server:
    """What runs the application: how many connections, and how long each is waited for."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=PatientProtocol,
            ws="none",
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            timeout_keep_alive=75,
            limit_concurrency=2048,
            backlog=2048,
            server_header=False,
            access_log=False,
        )
    )


def _check_tls(settings: CentralSettings) -> None:
    for file in (settings.tls_cert, settings.tls_key):
        if file is not None and not file.is_file():
            raise ConfigError(f"{file} is not a file.")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError("A certificate needs its key.", hint="Give --tls-cert and --tls-key.")


@contextmanager
def _working(worker: Worker, server: uvicorn.Server) -> Iterator[None]:
    """The worker beside the server. The service manager hears of it: when the server listens, and
    after every round, for its watchdog."""
    stop = Event()

    def alive() -> None:
        tell_systemd(*([READY, ALIVE] if server.started else [ALIVE]))

    thread = Thread(target=worker.run, args=(stop,), kwargs={"alive": alive}, name="worker")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
