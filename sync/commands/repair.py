"""``edge-sync verify`` and ``repair``: are both sides whole, and making them so."""

from __future__ import annotations

from dataclasses import asdict

import typer

from edge_runtime.commands.console import out, print_json, reported
from sync import repair as repairs
from sync.commands.opening import AsJson, DataDir, opened, uplink_if_enrolled
from sync.commands.persons import Offline

UNSOUND = 1


def verify(offline: Offline = False, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check the journal, and that the server has what it acknowledged. Exit code 1 if not."""
    with reported(as_json=as_json), opened(data_dir) as (journal, folder):
        with uplink_if_enrolled(journal, folder, offline=offline) as up:
            found = repairs.verify(journal, up)
        if as_json:
            print_json(asdict(found) | {"sound": found.sound})
        else:
            for problem in found.problems:
                out.print(problem, markup=False)
            if found.server_lost:
                out.print(f"The server lacks {found.server_lost} records: edge-sync repair")
            if found.unconfirmed_erasures:
                out.print(f"{found.unconfirmed_erasures} erasures await the server.")
            out.print("sound" if found.sound else "NOT SOUND", f"({found.waiting} waiting)")
        if not found.sound:
            raise typer.Exit(UNSOUND)


def repair(offline: Offline = False, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Recount the outbox, and send again what the server lost."""
    with reported(as_json=as_json), opened(data_dir) as (journal, folder):
        with uplink_if_enrolled(journal, folder, offline=offline) as up:
            done = repairs.repair(journal, up)
        if as_json:
            print_json(asdict(done))
        else:
            out.print(f"{done.remade} records sent again, {done.lost} could not be made again.")


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: edge-sync verify --json")(verify)
    app.command(epilog="Example: edge-sync repair")(repair)
