"""``edge-central repository``: the keys that sign updates, and the repository they sign."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.errors import InputError
from edge_runtime.files import write_atomic
from sync.central import audit
from sync.central.commands.common import AsJson, DataDir, database_of, signed_repository
from sync.central.keys import KeyFolder, is_key_name
from sync.central.settings import CentralSettings, load_central_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="The signed repository that devices update from, and its keys.",
)
Offline = Annotated[
    Path, typer.Argument(help="Folder of root and targets keys, on a medium kept offline.")
]


@app.command(epilog="Example: edge-central repository init /media/keys")
def init(
    offline: Offline,
    roots: Annotated[int, typer.Option(min=1, max=9, help="How many root keys.")] = 3,
    threshold: Annotated[
        int, typer.Option(min=1, max=9, help="How many of them must agree to a change.")
    ] = 2,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make the keys and an empty repository, once. Writes the first root, 1.root.json."""
    with reported(as_json=as_json):
        settings = load_central_settings(data_dir=data_dir)
        held = _offline(settings, offline)
        with database_of(settings) as database, database.alone():
            repository = signed_repository(settings)
            first = repository.create(held, roots=roots, threshold=threshold)
            with storage_errors(offline):
                write_atomic(offline / "1.root.json", first)
            now = datetime.now(UTC)
            with database.write() as session:
                audit.note(session, now, audit.CONSOLE, "make repository")
        if as_json:
            print_json({"root": str(offline / "1.root.json"), "keys": str(settings.keys_folder)})
        else:
            out.print(f"Devices trust {offline / '1.root.json'}:", markup=False)
            out.print("edge-sync pull --root 1.root.json")
            out.print(f"Copy the keys in {offline} to separate media, offline.", markup=False)


@app.command(epilog="Example: edge-central repository replace releases /media/keys")
def replace(
    key: Annotated[str, typer.Argument(help="Its file's name without .pem, such as root-2.")],
    offline: Offline,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put a new key in the place of one that is lost, stolen or old; devices follow by themselves.

    Release and component keys need the targets key, all others a threshold of root keys.
    """
    with reported(as_json=as_json):
        if not is_key_name(key):
            raise InputError(
                f"There is no key called '{key}'.",
                hint="There are root-1, root-2, …, targets, snapshot, timestamp, releases and "
                "components.",
            )
        settings = load_central_settings(data_dir=data_dir)
        with database_of(settings) as database, database.alone():
            signed_repository(settings).replace(key, _offline(settings, offline))
            now = datetime.now(UTC)
            with database.write() as session:
                audit.note(session, now, audit.CONSOLE, "replace key", key)
        if as_json:
            print_json({"replaced": key})
        else:
            out.print(f"The key '{key}' is replaced; the old one counts no more.", markup=False)


@app.command(epilog="Example: edge-central repository renew")
def renew(
    offline: Annotated[
        Path | None, typer.Option(help="Also renew root and targets, with the keys in this folder.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Sign anew what expires. For a daily timer: the timestamp lasts 14 days."""
    with reported(as_json=as_json):
        settings = load_central_settings(data_dir=data_dir)
        with database_of(settings) as database, database.alone():
            held = None if offline is None else _offline(settings, offline)
            signed_repository(settings).renew(held)
        if as_json:
            print_json({"renewed": True})
        else:
            out.print("The repository is signed anew.")


def _offline(settings: CentralSettings, folder: Path) -> KeyFolder:
    return KeyFolder(folder, settings.offline_key_password.get_secret_value())
