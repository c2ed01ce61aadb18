"""What the commands share: options, settings and the open database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sync.central.database import Database
from sync.central.keys import KeyFolder
from sync.central.objects import Objects
from sync.central.repository import SignedRepository
from sync.central.settings import CentralSettings, load_central_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON objects, one a line.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of database, objects and token.")
]


@contextmanager
def opened(data_dir: Path | None) -> Iterator[Database]:
    """The configured database, closed when the block ends."""
    with database_of(load_central_settings(data_dir=data_dir)) as database:
        yield database


def database_of(settings: CentralSettings) -> closing[Database]:
    """The same, for a command that needs the settings for more than that."""
    return closing(Database(settings.url))


def signed_repository(settings: CentralSettings) -> SignedRepository:
    """The configured update repository, with the keys of this machine."""
    return SignedRepository(
        Objects(settings.objects_place),
        KeyFolder(settings.keys_folder, settings.key_password.get_secret_value()),
        settings.data_dir / "publishing" / "work",
    )
