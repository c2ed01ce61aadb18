"""``edge-central``: the central server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.commands.console import err, out, print_json, reported
from edge_runtime.errors import ConfigError, StorageError
from sync.central import person_commands
from sync.central.auth import new_code
from sync.central.database import Database
from sync.central.export import labelled
from sync.central.settings import load_central_settings, operator_token

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="The central server of a fleet. Settings come from EDGE_CENTRAL_*.",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON objects, one a line.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of database and token.")]

person_commands.add_to(app)


def main() -> None:
    app()


@app.command(
    epilog="Example: edge-central serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem"
)
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (8770).")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the API until stopped."""
    with reported(as_json=False):
        import uvicorn

        from sync.central.app import create_app

        settings = load_central_settings(host=host, port=port, data_dir=data_dir)
        for file in (tls_cert, tls_key):
            if file is not None and not file.is_file():
                raise ConfigError(f"{file} is not a file.")
        if (tls_cert is None) != (tls_key is None):
            raise ConfigError("A certificate needs its key.", hint="Give --tls-cert and --tls-key.")
        token = operator_token(settings)
        with closing(Database(settings.url)) as database:
            if not settings.operator_token.get_secret_value():
                err.print(f"operators' token: {settings.operator_token_file}", markup=False)
            uvicorn.run(
                create_app(database, token, body_timeout_s=settings.body_timeout_s),
                host=settings.host,
                port=settings.port,
                ssl_certfile=tls_cert,
                ssl_keyfile=tls_key,
                timeout_keep_alive=30,
                limit_concurrency=512,
                server_header=False,
            )


@app.command(epilog="Example: edge-central enroll --shop 'Main Street'")
def enroll(
    device: Annotated[
        str, typer.Option(help="Only for this device id (needed to enrol one again).")
    ] = "",
    shop: Annotated[str, typer.Option(help="The shop the device stands in.")] = "",
    minutes: Annotated[int, typer.Option(min=1, max=10_080, help="How long it holds.")] = 1440,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a one-time code with which a device enrols."""
    with reported(as_json=as_json):
        settings = load_central_settings(data_dir=data_dir)
        with closing(Database(settings.url)) as database, database.write() as session:
            code = new_code(
                session,
                now=datetime.now(UTC),
                lifetime=timedelta(minutes=minutes),
                device_id=device[:64],
                shop=shop[:200],
            )
        if as_json:
            print_json({"code": code, "minutes": minutes})
        else:
            out.print(f"{code}   (once, within {minutes} minutes)")
            out.print("On the device: edge-sync enroll URL --code CODE")


@app.command(epilog="Example: edge-central export --since 2026-01-01 --out turns.jsonl")
def export(
    since: Annotated[datetime, typer.Option(help="Day or time (UTC) from which on.")],
    out_file: Annotated[Path | None, typer.Option("--out", help="File; else printed.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write turns as labelled JSONL (labels are the models' own)."""
    with reported(as_json=as_json):
        settings = load_central_settings(data_dir=data_dir)
        start = since.replace(tzinfo=UTC)
        with closing(Database(settings.url)) as database, database.read() as session:
            lines = (
                json.dumps(found, ensure_ascii=False) + "\n"
                for found in labelled(session, since=start)
            )
            if out_file is None:
                for line in lines:
                    sys.stdout.write(line)
                return
            with _written(out_file) as partial:
                count = 0
                with partial.open("w", encoding="utf-8") as file:
                    for line in lines:
                        file.write(line)
                        count += 1
        if as_json:
            print_json({"file": str(out_file), "lines": count})
        else:
            out.print(f"{count} lines written to {out_file}.", markup=False)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """A file beside ``path`` that takes its place once it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from error
