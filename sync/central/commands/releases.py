"""``edge-central release`` and ``rollout``: what the fleet may install, and who may when."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError
from rich.table import Table
from sqlalchemy import select

from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.errors import ConfigError, InputError
from sync.central import audit, releases, rollouts
from sync.central.commands.common import AsJson, DataDir, database_of, opened, signed_repository
from sync.central.rollouts import DEFAULT_STAGES, Rule, Stage
from sync.central.settings import load_central_settings
from sync.central.tables import Rollout

Action = Literal["start", "pause", "resume", "cancel", "list"]
_SHOWN = 20


def release(
    manifest: Annotated[
        Path, typer.Argument(help="What edge-convert bundle wrote: OUT/bundles/NAME/VERSION.json.")
    ],
    latest: Annotated[
        bool,
        typer.Option("--latest", help="Devices that pull by hand take it, too: without rings."),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle and its quality cards, sign and publish it. A rollout offers it to devices.

    Releasing a version again is a new decision: devices that took it back may be offered it again.
    """
    with reported(as_json=as_json):
        prepared = releases.prepare(manifest)
        settings = load_central_settings(data_dir=data_dir)
        repository = signed_repository(settings)
        with database_of(settings) as database, database.alone():
            with database.read() as session:
                releases.require_same(session, prepared)
            target = repository.publish(prepared, latest=latest)
            now = datetime.now(UTC)
            with database.write() as session:
                made = releases.record(session, prepared, target, audit.CONSOLE, now)
                audit.note(session, now, audit.CONSOLE, "release", made.id, sha256=made.sha256)
                shown = releases.view(made)
        if as_json:
            print_json(shown)
        else:
            out.print(f"{shown['id']} is published ({shown['size'] / 1e6:.1f} MB).", markup=False)
            out.print(f"Offer it: edge-central rollout start {shown['id']}", markup=False)


def rollout(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    subject: Annotated[
        str, typer.Argument(help="A release's id to start; a rollout's number else.")
    ] = "",
    stage: Annotated[
        list[str] | None, typer.Option(help="PERCENT or RING:PERCENT, in order; repeatable.")
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, such as errors=0.05; repeatable.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Offer a release stage by stage, pause, resume or cancel that, or list how it goes."""
    with reported(as_json=as_json):
        now = datetime.now(UTC)
        with opened(data_dir) as database, database.write() as session:
            if action == "list":
                newest = select(Rollout).order_by(Rollout.id.desc()).limit(_SHOWN)
                found = [rollouts.view(session, one, now) for one in session.scalars(newest)]
            else:
                made = (
                    _start(session, subject, stage or [], rule or [], now)
                    if action == "start"
                    else _change(session, subject, action, now)
                )
                audit.note(session, now, audit.CONSOLE, f"{action} rollout", str(made.id))
                found = [rollouts.view(session, made, now)]
        if as_json:
            for one in found:
                print_json(one)
        else:
            out.print(_table(found))


def _start(
    session: Any, release_id: str, stages: list[str], rules: list[str], now: datetime
) -> Rollout:
    given = tuple(map(_stage, stages)) or DEFAULT_STAGES
    made = rollouts.start(session, release_id, given, _rule(rules), audit.CONSOLE, now)
    if made is None:
        raise InputError(
            f"There is no release '{release_id}'.", hint="Publish it: edge-central release FILE"
        )
    return made


def _change(session: Any, number: str, action: str, now: datetime) -> Rollout:
    found = session.get(Rollout, int(number)) if number.isdigit() and len(number) < 16 else None
    if found is None:
        raise InputError(f"There is no rollout '{number}'.", hint="edge-central rollout list")
    changed: Rollout = found
    if not rollouts.change(changed, action, now):
        raise InputError(f"Rollout {number} is {changed.state}; it cannot {action}.")
    return changed


def _stage(text: str) -> Stage:
    ring, _, percent = text.rpartition(":")
    try:
        return Stage(ring=ring, percent=int(percent))
    except (ValidationError, ValueError):
        raise ConfigError(
            f"{text!r} is no stage.", hint="Say PERCENT or RING:PERCENT, such as canary:100."
        ) from None


def _rule(pairs: list[str]) -> Rule:
    values = dict(pair.partition("=")[::2] for pair in pairs)
    try:
        return Rule.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"The rule '{where}' is wrong: {first['msg']}.",
            hint=f"There are: {', '.join(Rule.model_fields)}.",
        ) from error


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table("rollout", "release", "state", "stage", "devices", "reason")
    for one in found:
        stages = [f"{stage['ring'] or 'all'}:{stage['percent']}" for stage in one["stages"]]
        devices = ", ".join(f"{count} {state}" for state, count in one["devices"].items())
        stage = f"{one['stage'] + 1} of {len(stages)} ({stages[one['stage']]} %)"
        table.add_row(str(one["id"]), one["release"], one["state"], stage, devices, one["reason"])
    return table
