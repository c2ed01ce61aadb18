"""``edge-sync erase``, ``export`` and ``shop-key``: a customer's rights, a shop's pseudonyms."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.errors import ConfigError, InputError, StorageError
from edge_runtime.files import write_atomic
from edge_runtime.journal import Journal, adopt_key
from sync.commands.opening import AsJson, DataDir, opened, uplink_if_enrolled
from sync.errors import SyncError
from sync.persons import held_centrally, send_erasures

User = Annotated[str, typer.Option(help="The person's id, as the shop's system knows it.")]
Offline = Annotated[bool, typer.Option("--offline", help="Only on this device.")]
_IDENTITY = "device.json"


def erase(
    user: User = "",
    contact: Annotated[
        str, typer.Option(help="Or a phone, e-mail address, card, plate … the person gave.")
    ] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove a person from this device and the central server; prints the receipts.

    By a contact the dialogues go in which it was given, however it was written. Without a
    connection the server is asked as soon as there is one.
    """
    with reported(as_json=as_json), opened(data_dir) as (journal, folder):
        if bool(user) == bool(contact):
            raise InputError(
                "Whom to erase is said in one way.", hint="Give either --user ID or --contact."
            )
        persons = journal.persons
        done = persons.erase(user) if user else persons.erase_contact(contact)
        with suppress(SyncError), uplink_if_enrolled(journal, folder, offline=False) as up:
            if up is not None:
                send_erasures(journal, up.exchange)
        confirmed = journal.persons.erasures()[-1].confirmed
        if as_json:
            print_json(
                json.loads(done.receipt)
                | {"digest": done.digest, "central": json.loads(confirmed) if confirmed else None}
            )
            return
        found = json.loads(done.receipt)
        out.print(f"Erased here: {found['turns']} turns, {found['records']} waiting records.")
        out.print(f"Receipt sha256 {done.digest}")
        if confirmed:
            out.print(f"Erased centrally. Receipt sha256 {json.loads(confirmed)['digest']}")
        else:
            out.print("The central server will be asked at the next connection.")


def export(
    user: User,
    out_file: Annotated[Path | None, typer.Option("--out", help="File; else printed.")] = None,
    offline: Offline = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Hand out everything kept of a person, here and centrally, as one JSON object."""
    with reported(as_json=as_json), opened(data_dir) as (journal, folder):
        with uplink_if_enrolled(journal, folder, offline=offline) as up:
            central = None if up is None else held_centrally(journal, up.exchange, user)
        found = _everything(journal, user) | {"central": central}
        if out_file is None:
            print_json(found)
            return
        try:
            text = json.dumps(found, ensure_ascii=False, indent=1) + "\n"
            write_atomic(out_file, text.encode(), mode=0o600)
        except OSError as error:
            raise StorageError(f"{out_file} cannot be written: {error.strerror}.") from error
        if as_json:
            print_json({"file": str(out_file), "turns": len(found["device"])})
        else:
            out.print(f"{len(found['device'])} turns written to {out_file}.", markup=False)


def _everything(journal: Journal, user: str) -> dict[str, Any]:
    return {
        "user": user,
        "pseudonyms": journal.persons.pseudonyms(user),
        "device_id": journal.device_id,
        "device": [asdict(turn) for turn in journal.persons.turns(user)],
    }


def shop_key(
    use: Annotated[
        Path | None, typer.Option(help="File with the key of the shop's first device.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write this device's pseudonym key, or use another's, so that a shop's devices agree.

    Carry it by hand and remove the file: whoever has it can test guesses against pseudonyms.
    """
    with reported(as_json=as_json), opened(data_dir) as (journal, folder):
        if use is None:
            key = journal.persons.key_digits
            print_json({"key": key}) if as_json else out.print(key)
            return
        try:
            key_bytes = bytes.fromhex(use.read_text("utf-8")[:200].strip())
        except OSError as error:
            raise StorageError(f"{use} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise ConfigError(
                f"{use} holds no shop key.", hint="It is what 'edge-sync shop-key' prints."
            ) from error
        adopt_key(folder / _IDENTITY, key_bytes)
        if as_json:
            print_json({"adopted": True})
        else:
            out.print("Adopted. Restart edge-runtime and edge-sync on this device.")


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: edge-sync erase --user member-7 --json")(erase)
    app.command(epilog="Example: edge-sync export --user member-7 --out mine.json")(export)
    app.command("shop-key", epilog="Example: edge-sync shop-key --use key.txt")(shop_key)
