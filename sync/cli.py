"""``edge-sync``: carries this device's records to the central server, and better models back."""

from __future__ import annotations

import signal
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, Any

import typer

from edge_runtime.commands.console import error_object, out, print_json, reported
from edge_runtime.config import load_settings
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.systemd import ALIVE, READY, tell_systemd
from sync.agent import Agent, Cycle
from sync.commands import metrics, persons, repair
from sync.commands.opening import AsJson, DataDir, opened, uplink
from sync.contact import read_contact
from sync.link import enroll, load_link, renew
from sync.pacing import Pace, load_sync_settings
from sync.persons import send_erasures
from sync.updater.commands import install_carried, pull, rollback
from sync.updater.following import Follower, follow
from sync.updater.home import UpdateHome
from sync.updater.tufclient import tuf_client
from sync.uplink import PushReport

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Carry this device's records to the central server. Settings come from edge.toml, EDGE_*.",
)
repair.add_to(app)
persons.add_to(app)
metrics.add_to(app)
app.command("pull")(pull)
app.command("install")(install_carried)
app.command("rollback")(rollback)
app.command("tuf-client", hidden=True)(tuf_client)


def main() -> None:
    app()


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
    with reported(as_json=as_json), opened(data_dir) as (journal, folder):
        ca_path = str(ca.resolve()) if ca else ""
        link = enroll(url, code, journal.device_id, folder, ca=ca_path)
        if as_json:
            print_json({"device_id": journal.device_id, "url": link.url})
        else:
            out.print(f"This device ({journal.device_id}) now reports to {link.url}.")


@app.command("renew", epilog="Example: edge-sync renew")
def renew_command(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Replace this device's credential by a new one."""
    with reported(as_json=as_json):
        link = renew(load_settings(data_dir=data_dir).data_dir)
        if as_json:
            print_json({"url": link.url, "renewed": True})
        else:
            out.print(f"This device has a new credential for {link.url}.", markup=False)


@app.command(epilog="Example: edge-sync push --json")
def push(
    everything: Annotated[
        bool, typer.Option("--all", help="Whatever hours and metered link say.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Send what may go now, once, and exit."""
    with reported(as_json=as_json), opened(data_dir) as (journal, folder):
        pace = Pace.of(load_sync_settings())
        if everything:
            pace = replace(pace, windows=(), metered=False)
        with uplink(journal, folder, pace) as up:
            report = up.push()
            send_erasures(journal, up.exchange)
        if as_json:
            print_json(asdict(report))
        else:
            out.print(_sentence(report))


@app.command(epilog="Example: edge-sync run --every 30")
def run(
    every: Annotated[
        float | None, typer.Option(min=1, max=86_400, help="Seconds between pushes (60).")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Keep sending, and following the updates offered, until stopped (Ctrl-C or SIGTERM)."""
    with reported(as_json=as_json), opened(data_dir) as (journal, folder):
        settings = load_sync_settings(every_s=every)
        pace = Pace.of(settings)
        with uplink(journal, folder, pace) as up:
            stop = Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
            home = UpdateHome(load_settings(data_dir=data_dir))
            mirrors = settings.mirror_addresses
            follower = Follower(home, journal, up.exchange, pace=pace, mirrors=mirrors)
            # A thread of its own: a download may take hours, and tickets do not wait for it. It
            # ends with the process; whatever it was at goes on at the next start.
            updates = Thread(
                target=follow,
                args=(follower, stop, settings.every_s),
                kwargs={"on_error": lambda error: _print_update_error(error, as_json=as_json)},
                daemon=True,
            )
            updates.start()
            Agent(
                journal,
                up,
                every_s=settings.every_s,
                stop=stop,
                on_cycle=lambda cycle: _print_cycle(cycle, as_json=as_json),
                alive=lambda: _alive(updates),
            ).run()


def _alive(updates: Thread) -> None:
    """Once either loop has ended for a reason nobody foresaw, the watchdog starts both anew."""
    if updates.is_alive():
        tell_systemd(READY, ALIVE)


@app.command(epilog="Example: edge-sync status --json")
def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show what waits, what was given up, which server this device reports to and what it runs."""
    with reported(as_json=as_json), opened(data_dir) as (journal, folder):
        counts = journal.outbox.counts()
        link = load_link(folder)
        kinds = Pace.of(load_sync_settings()).kinds(datetime.now().astimezone())
        home = UpdateHome(load_settings(data_dir=data_dir))
        running, contact = home.running, read_contact(folder)
        found: dict[str, Any] = {
            "device_id": journal.device_id,
            "server": link.url if link else None,
            "may_send": "everything" if kinds is None else sorted(kinds),
            "last_contact": _time(contact.heard),
            "last_push": _time(contact.delivered),
            "running": asdict(running) if running else None,
            "on_trial": home.slots.state.on_trial,
            "unconfirmed_erasures": len(journal.persons.erasures(unconfirmed=True)),
            **asdict(counts),
        }
        if as_json:
            print_json(found)
            return
        out.print(f"device    {found['device_id']}")
        out.print(f"server    {found['server'] or 'none (edge-sync enroll)'}")
        out.print(f"heard     {found['last_contact'] or 'never'}")
        bundle = f"{running.bundle} {running.version}" if running else "the device's own models"
        out.print(f"runs      {bundle}{', on trial' if found['on_trial'] else ''}", markup=False)
        for kind, count in sorted(counts.pending.items()):
            out.print(f"waiting   {kind}: {count} ({counts.pending_bytes[kind]} bytes)")
        for kind, count in sorted(counts.dropped.items()):
            out.print(f"given up  {kind}: {count}")
        out.print(f"set aside {counts.quarantined}")
        if kinds is not None:
            out.print(f"may go    {', '.join(sorted(kinds))} (hours or metered link)")
        if found["unconfirmed_erasures"]:
            out.print(f"erasures  {found['unconfirmed_erasures']} await the server")


def _time(seconds: int) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None


def _sentence(report: PushReport) -> str:
    aside = f", {report.quarantined} set aside" if report.quarantined else ""
    held = f", {report.held_back} held back" if report.held_back else ""
    return f"{report.sent} records delivered{aside}, {report.remaining} waiting{held}."


def _print_update_error(error: EdgeRuntimeError, *, as_json: bool) -> None:
    if as_json:
        print_json({"update_error": error_object(error)})
    else:
        out.print(f"Updates: {error.message}", markup=False)


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
