"""What every command of ``edge-sync`` opens first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.config import load_settings
from edge_runtime.journal import Journal, open_journal
from sync.link import linked, load_link, open_client
from sync.pacing import Pace
from sync.uplink import Uplink

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON objects, one a line.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the journal.")]


@contextmanager
def opened(data_dir: Path | None) -> Iterator[tuple[Journal, Path]]:
    """The device's journal and its data folder."""
    folder = load_settings(data_dir=data_dir).data_dir
    with closing(open_journal(folder)) as journal:
        yield journal, folder


@contextmanager
def uplink(journal: Journal, folder: Path, pace: Pace | None = None) -> Iterator[Uplink]:
    """The way to the server this device is enrolled at."""
    with open_client(linked(folder)) as client:
        yield Uplink(journal, client, pace=pace)


@contextmanager
def uplink_if_enrolled(journal: Journal, folder: Path, *, offline: bool) -> Iterator[Uplink | None]:
    """The same, or ``None`` for a device that works alone or is to."""
    if offline or load_link(folder) is None:
        yield None
    else:
        with uplink(journal, folder) as found:
            yield found
