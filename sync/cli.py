"""``edge-sync``: carries this device's records to the central server."""

from __future__ import annotations

import signal
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_runtime.commands.console import error_object, out, print_json, reported
from edge_runtime.config import load_settings
from edge_runtime.errors import ConfigError
from edge_runtime.journal import Journal
from sync.agent import Agent, Cycle
from sync.link import Link, enroll, load_link, open_client
from sync.updater.commands import install_carried, pull, rollback
from sync.updater.tufclient import tuf_client
from sync.uplink import PushReport, Uplink

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Carry this device's records to the central server. Settings come from edge.toml, EDGE_*.",
)
app.command("pull")(pull)
app.command("install")(install_carried)
app.command("rollback")(rollback)
app.command("tuf-client", hidden=True)(tuf_client)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON objects, one a line.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the journal.")]


def main() -> None:
    app()


def _open(data_dir: Path | None) -> tuple[Journal, Path]:
    folder = load_settings(data_dir=data_dir).data_dir
    return Journal.open(folder / "journal.db"), folder


def _linked(folder: Path) -> Link:
    link = load_link(folder)
    if link is None:
        raise ConfigError(
            "This device belongs to no central server.",
            hint="Enrol it: edge-sync enroll URL --code CODE",
        )
    return link


@app.command(
    "enroll", epilog="Example: edge-sync enroll https://central.example --code ABCD-EFGH-JKMN"
)
def enroll_command(
    url: Annotated[str, typer.Argument(help="Address of the central server.")],
    code: Annotated[str, typer.Option(help="One-time code from 'edge-central enroll'.")],
    ca: Annotated[Path | None, typer.Option(help="Certificate authority (PEM) to trust.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Trade a one-time code for this device's credential."""
    with reported(as_json=as_json):
        journal, folder = _open(data_dir)
        with closing(journal):
            ca_path = str(ca.resolve()) if ca else ""
            link = enroll(url, code, journal.device_id, folder, ca=ca_path)
        if as_json:
            print_json({"device_id": journal.device_id, "url": link.url})
        else:
            out.print(f"This device ({journal.device_id}) now reports to {link.url}.")


@app.command(epilog="Example: edge-sync push --json")
def push(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Send everything that waits, once, and exit."""
    with reported(as_json=as_json):
        journal, folder = _open(data_dir)
        with closing(journal), open_client(_linked(folder)) as client:
            report = Uplink(journal, client).push()
        if as_json:
            print_json(asdict(report))
        else:
            out.print(_sentence(report))


@app.command(epilog="Example: edge-sync run --every 30")
def run(
    every: Annotated[float, typer.Option(min=1, max=86_400, help="Seconds between pushes.")] = 60.0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Keep sending until stopped (Ctrl-C or SIGTERM)."""
    with reported(as_json=as_json):
        journal, folder = _open(data_dir)
        with closing(journal), open_client(_linked(folder)) as client:
            agent = Agent(
                journal,
                Uplink(journal, client),
                every_s=every,
                on_cycle=lambda cycle: _print_cycle(cycle, as_json=as_json),
            )
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: agent.stop.set())
            agent.run()


@app.command(epilog="Example: edge-sync status --json")
def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show what waits, what was given up, and which server this device reports to."""
    with reported(as_json=as_json):
        journal, folder = _open(data_dir)
        with closing(journal):
            counts = journal.outbox.counts()
            link = load_link(folder)
            found: dict[str, Any] = {
                "device_id": journal.device_id,
                "server": link.url if link else None,
                **asdict(counts),
            }
        if as_json:
            print_json(found)
            return
        out.print(f"device    {found['device_id']}")
        out.print(f"server    {found['server'] or 'none (edge-sync enroll)'}")
        for kind, count in sorted(counts.pending.items()):
            out.print(f"waiting   {kind}: {count} ({counts.pending_bytes[kind]} bytes)")
        for kind, count in sorted(counts.dropped.items()):
            out.print(f"given up  {kind}: {count}")
        out.print(f"set aside {counts.quarantined}")


def _sentence(report: PushReport) -> str:
    aside = f", {report.quarantined} set aside" if report.quarantined else ""
    return f"{report.sent} records delivered{aside}, {report.remaining} waiting."


def _print_cycle(cycle: Cycle, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "report": asdict(cycle.report) if cycle.report else None,
                "error": error_object(cycle.error) if cycle.error else None,
                "wait_s": round(cycle.wait_s, 1),
            }
        )
    elif cycle.error is not None:
        out.print(f"{cycle.error.message} Next try in {cycle.wait_s:.0f} s.", markup=False)
    elif cycle.report is not None and (cycle.report.sent or cycle.report.quarantined):
        out.print(_sentence(cycle.report))
