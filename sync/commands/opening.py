"""What every command of ``edge-sync`` opens first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.config import Settings, load_settings
from edge_runtime.journal import Journal, open_journal
from sync.contact import ContactLog
from sync.link import linked, load_link, open_client
from sync.pacing import Pace
from sync.uplink import Uplink

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON objects, one a line.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the journal.")]


@contextmanager
def opened(data_dir: Path | None) -> Iterator[tuple[Journal, Path]]:
    """The device's journal and its data folder."""
    settings = load_settings(data_dir=data_dir)
    with journal_of(settings) as journal:
        yield journal, settings.data_dir


def journal_of(settings: Settings) -> closing[Journal]:
    """The journal, for a command that needs the settings for more than that."""
    return closing(open_journal(settings.data_dir))


@contextmanager
def uplink(journal: Journal, folder: Path, pace: Pace | None = None) -> Iterator[Uplink]:
    """The way to the server this device is enrolled at."""
    with open_client(linked(folder), folder=folder) as client:
        yield Uplink(journal, client, pace=pace, contact=ContactLog(folder))


@contextmanager
def uplink_if_enrolled(journal: Journal, folder: Path, *, offline: bool) -> Iterator[Uplink | None]:
    """The same, or ``None`` for a device that works alone or is to."""
    if offline or load_link(folder) is None:
        yield None
    else:
        with uplink(journal, folder) as found:
            yield found
