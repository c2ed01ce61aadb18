"""``edge-central enroll`` and ``operator``: who belongs to the fleet."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import typer

from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.errors import ConfigError, InputError
from sync.central import audit, operators
from sync.central.auth import new_code
from sync.central.commands.common import AsJson, DataDir, opened

Role = Literal["viewer", "operator", "admin"]


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
        if not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", device):
            raise ConfigError(
                f"{device!r} is no device id.", hint="edge-sync status prints the device's own."
            )
        now = datetime.now(UTC)
        with opened(data_dir) as database, database.write() as session:
            code = new_code(
                session,
                now=now,
                lifetime=timedelta(minutes=minutes),
                device_id=device,
                shop=shop[:200],
            )
            audit.note(session, now, audit.CONSOLE, "make code", device, shop=shop[:200])
        if as_json:
            print_json({"code": code, "minutes": minutes})
        else:
            out.print(f"{code}   (once, within {minutes} minutes)")
            out.print("On the device: edge-sync enroll URL --code CODE")


def operator(
    name: Annotated[str, typer.Argument(help="Name of the person or program.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = "viewer",
    revoke: Annotated[bool, typer.Option("--revoke", help="Take its token away.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an operator's token (told once), replace it, or take it away."""
    with reported(as_json=as_json):
        if not re.fullmatch(operators.NAME_PATTERN, name) or name == operators.FIRST:
            raise ConfigError(
                f"{name!r} cannot be an operator's name.",
                hint="Use letters, digits, dot, dash and underscore, at most 64.",
            )
        now = datetime.now(UTC)
        token = ""
        with opened(data_dir) as database, database.write() as session:
            if not revoke:
                token = operators.make(session, name, role, now)
                audit.note(session, now, audit.CONSOLE, "make operator", name, role=role)
            elif operators.revoke(session, name):
                audit.note(session, now, audit.CONSOLE, "revoke operator", name)
            else:
                raise InputError(f"There is no operator '{name}'.")
        if as_json:
            print_json({"name": name, "token": token} if token else {"revoked": name})
        else:
            out.print(token or f"{name} is locked out.", markup=False, soft_wrap=True)
