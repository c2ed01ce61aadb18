"""``edge-sync pull``, ``install`` and ``rollback``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.commands.console import err, out, print_json, reported
from edge_runtime.config import load_settings
from edge_runtime.errors import ConfigError
from edge_runtime.journal import Journal, open_journal
from sync.commands.opening import AsJson, DataDir
from sync.pacing import Pace, load_sync_settings
from sync.updater.fetching import METADATA, TARGETS, CarriedFetcher
from sync.updater.home import UpdateHome
from sync.updater.install import Installed, install
from sync.updater.probation import Verdict, check_probation, take_back
from sync.updater.release import LATEST
from sync.updater.repository import Repository
from sync.updater.sources import fetcher_from, open_repository

CARRIED_GRACE = timedelta(days=30)

Profile = Annotated[str | None, typer.Option("--profile", help="lite, standard or full.")]
Bundle = Annotated[str, typer.Option(help="Which bundle; by default the one that runs.")]
Version = Annotated[str, typer.Option(help="The version offered; by default the newest.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="The repository's first root.json, needed once.")
]


def pull(
    bundle: Bundle = "",
    version: Version = LATEST,
    repository: Annotated[
        list[str] | None,
        typer.Option(help="Address of the repository; repeat for mirrors. Default: as set up."),
    ] = None,
    root: Root = None,
    profile: Profile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Judge the bundle on trial, then bring the newest release of the models.

    Example: edge-sync pull --root 1.root.json
    """
    with reported(as_json=as_json), _device(data_dir, profile) as (home, journal):
        _tell_verdict(check_probation(home, journal), as_json=as_json)
        link = load_sync_settings()
        with fetcher_from(
            home,
            repository or [],
            mirrors=link.mirror_addresses,
            bytes_per_s=Pace.of(link).bytes_per_s,
        ) as fetcher:
            signed = open_repository(home, fetcher, fetcher.urls, root)
            done = _install(home, journal, signed, bundle, version, as_json=as_json)
        _tell_installed(done, signed.clock, fetcher.received, as_json=as_json)


def install_carried(
    path: Annotated[Path, typer.Argument(help="A stick's folder, or a zip file, of a repository.")],
    bundle: Bundle = "",
    version: Version = LATEST,
    root: Root = None,
    profile: Profile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Update from a folder, a USB stick or a zip file, verified like an update from the network.

    Example: edge-sync install /media/usb
    """
    with reported(as_json=as_json), _device(data_dir, profile) as (home, journal):
        _tell_verdict(check_probation(home, journal), as_json=as_json)
        fetcher = CarriedFetcher(path)
        signed = open_repository(home, fetcher, (METADATA, TARGETS), root, grace=CARRIED_GRACE)
        done = _install(home, journal, signed, bundle, version, as_json=as_json)
        _tell_installed(done, signed.clock, 0, as_json=as_json)


def rollback(
    reason: Annotated[str, typer.Option(help="Why; reported centrally.")] = "An operator asked.",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take the bundle on trial back; it comes again only by a new release decision.

    Example: edge-sync rollback --reason "answers in the wrong language"
    """
    with reported(as_json=as_json), _device(data_dir, None) as (home, journal):
        release = home.running
        if release is None or not home.slots.state.on_trial:
            raise ConfigError(
                "No bundle is on trial, so there is nothing to take back.",
                hint="To leave a bundle that was kept, release an older version again.",
            )
        take_back(home, journal, release, reason, {}, datetime.now(UTC))
        now = home.running
        if as_json:
            print_json({"taken_back": asdict(release), "running": asdict(now) if now else None})
        else:
            back = f"{now.bundle} {now.version}" if now else "the device's own models"
            out.print(f"{release.bundle} {release.version} is taken back; {back} run again.")


def _install(
    home: UpdateHome,
    journal: Journal,
    signed: Repository,
    bundle: str,
    version: str,
    *,
    as_json: bool,
) -> Installed:
    running = home.running
    name = bundle or (running.bundle if running else home.settings.pack)
    tell = (lambda text: None) if as_json else (lambda text: err.print(text, markup=False))
    return install(home, signed, name, version=version, last_turn=journal.newest, report=tell)


@contextmanager
def _device(data_dir: Path | None, profile: str | None) -> Iterator[tuple[UpdateHome, Journal]]:
    settings = load_settings(data_dir=data_dir, profile=profile)
    with closing(open_journal(settings.data_dir)) as journal:
        yield UpdateHome(settings), journal


def _tell_verdict(verdict: Verdict | None, *, as_json: bool) -> None:
    if verdict is None:
        return
    if as_json:
        print_json({"probation": asdict(verdict)})
    else:
        out.print(f"on trial: {verdict.verdict}. {verdict.reason}", markup=False)


def _tell_installed(done: Installed, clock: str, received: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"update": asdict(done), "clock": clock, "received_bytes": received})
        return
    if clock != "believed":
        err.print(f"This device's clock is {clock}; set it.", style="yellow")
    release = f"{done.release.bundle} {done.release.version}"
    if done.status == "present":
        out.print(f"{release} runs already.", markup=False)
        return
    out.print(
        f"{release} is installed and on trial: {done.fetched} files fetched, {done.patched} made "
        f"from older ones, {done.reused} were here.",
        markup=False,
    )
