"""``edge-central`` commands for a customer's rights and for what is past its time."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.errors import InputError, StorageError
from edge_runtime.files import write_atomic
from sync.central import audit, ledger, persons, retention
from sync.central.commands.common import AsJson, DataDir, opened
from sync.protocol.persons import Pseudonyms

Days = Annotated[int, typer.Option(min=1, max=36_500, help="Days they are kept.")]
_MAX_LEDGER_BYTES = 256 * 2**20
_ENTRIES = TypeAdapter(list[dict[str, str]])


def erase(
    pseudonym: Annotated[list[str], typer.Option(help="As 'edge-sync export' shows it.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person from every device's records."""
    with reported(as_json=as_json):
        try:
            masks = TypeAdapter(Pseudonyms).validate_python(pseudonym)
        except ValidationError as error:
            raise InputError(
                "That is no person's pseudonym.",
                hint="Print it on the device: edge-sync export --user ID",
            ) from error
        with opened(data_dir) as database, database.write() as session:
            answer = persons.erase(
                session,
                device_id=persons.EVERYWHERE,
                pseudonyms=masks,
                request=f"console {uuid.uuid4()}",
                now=datetime.now(UTC),
            )
            audit.note(
                session, datetime.now(UTC), audit.CONSOLE, "erase person", receipt=answer.digest
            )
        found = json.loads(answer.receipt)
        if as_json:
            print_json(found | {"digest": answer.digest})
        else:
            out.print(f"{found['records']} records erased. Receipt sha256 {answer.digest}.")


def retain(
    turns: Days = retention.DEFAULT_PERIODS.turn,
    escalations: Days = retention.DEFAULT_PERIODS.escalation,
    metrics: Days = retention.DEFAULT_PERIODS.metric,
    audits: Days = retention.DEFAULT_PERIODS.audit,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let go of records past their period, and repeat every erasure. For a daily timer."""
    with reported(as_json=as_json):
        periods = retention.Periods(turns, escalations, metrics, audits)
        with opened(data_dir) as database, database.write() as session:
            gone = retention.retain(session, periods, datetime.now(UTC))
        if as_json:
            print_json({"periods": asdict(periods), "gone": gone})
        else:
            out.print(", ".join(f"{kind}: {n}" for kind, n in gone.items()) or "nothing was due")


def erasures(
    out_file: Annotated[Path, typer.Option("--out", help="File to write.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the receipts of all erasures: keep them beside every backup."""
    with reported(as_json=as_json):
        with opened(data_dir) as database, database.read() as session:
            entries = ledger.entries(session)
        unbroken = ledger.is_unbroken(entries)
        try:
            write_atomic(out_file, json.dumps(entries).encode(), mode=0o600)
        except OSError as error:
            raise StorageError(f"{out_file} cannot be written: {error.strerror}.") from error
        if as_json:
            print_json({"file": str(out_file), "erasures": len(entries), "unbroken": unbroken})
        else:
            state = "unbroken" if unbroken else "BROKEN: a receipt was altered or taken out"
            out.print(f"{len(entries)} receipts, their chain is {state}.")


def forget(
    file: Annotated[Path, typer.Argument(help="As 'edge-central erasures' wrote it.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Repeat erasures on a restored backup, before it serves again."""
    with reported(as_json=as_json):
        try:
            with file.open("rb") as source:
                entries = _ENTRIES.validate_json(source.read(_MAX_LEDGER_BYTES))
            if not ledger.is_unbroken(entries):
                raise ValueError("a receipt was altered or taken out")
        except OSError as error:
            raise StorageError(f"{file} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file} holds no sound receipts of erasures.") from error
        with opened(data_dir) as database, database.write() as session:
            count = persons.restore_ledger(session, entries, datetime.now(UTC))
        if as_json:
            print_json({"erasures": len(entries), "records": count})
        else:
            out.print(f"{len(entries)} erasures repeated, {count} records erased.")
