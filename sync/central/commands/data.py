"""``edge-central export``, ``backup`` and ``restore``: what the server keeps, as files."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.errors import InputError, StorageError
from edge_runtime.files import atomic_writer
from sync.central import backup as backups
from sync.central.commands.common import AsJson, DataDir, opened
from sync.central.export import erased, labelled

_AT_ONCE = 300
_MAX_LINE_BYTES = 200_000


def export(
    since: Annotated[datetime, typer.Option(help="Day or time (UTC) from which on.")],
    out_file: Annotated[Path | None, typer.Option("--out", help="File; else printed.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write turns as labelled JSONL (labels are the models' own)."""
    with reported(as_json=as_json):
        start = since.replace(tzinfo=UTC)
        with opened(data_dir) as database, database.read() as session:
            lines = (
                json.dumps(found, ensure_ascii=False) + "\n"
                for found in labelled(session, since=start)
            )
            if out_file is None:
                for line in lines:
                    sys.stdout.write(line)
                return
            count = 0
            try:
                with atomic_writer(out_file) as file:
                    for line in lines:
                        file.write(line.encode())
                        count += 1
            except OSError as error:
                if isinstance(error, StorageError):
                    raise
                raise StorageError(f"{out_file} cannot be written: {error.strerror}.") from error
        if as_json:
            print_json({"file": str(out_file), "lines": count})
        else:
            out.print(f"{count} lines written to {out_file}.", markup=False)


def weed(
    file: Annotated[Path, typer.Argument(help="Lines of 'edge-central export', labelled or not.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take the lines of persons erased since out of a training set, in place."""
    with reported(as_json=as_json):
        kept = gone = 0
        try:
            with (
                file.open("rb") as source,
                atomic_writer(file, mode=file.stat().st_mode & 0o777) as target,
                opened(data_dir) as database,
                database.read() as session,
            ):
                while lines := _some_lines(source, file, kept + gone):
                    parsed = [_parsed(line, file, kept + gone + n) for n, line in enumerate(lines)]
                    found = erased(session, parsed)
                    target.writelines(
                        line for line, out in zip(lines, found, strict=True) if not out
                    )
                    gone += sum(found)
                    kept += len(lines) - sum(found)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"{file} cannot be rewritten: {error.strerror}.") from error
        if as_json:
            print_json({"file": str(file), "kept": kept, "erased": gone})
        else:
            out.print(f"{gone} lines of erased persons taken out, {kept} kept.", markup=False)


def _some_lines(source: BinaryIO, file: Path, before: int) -> list[bytes]:
    lines: list[bytes] = []
    while len(lines) < _AT_ONCE and (line := source.readline(_MAX_LINE_BYTES + 1)):
        if len(line) > _MAX_LINE_BYTES:
            raise InputError(f"{file}, line {before + len(lines) + 1}: longer than a line may be.")
        lines.append(line)
    return lines


def _parsed(line: bytes, file: Path, before: int) -> Any:
    if not line.strip():
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file}, line {before + 1}: not JSON.", hint="Nothing changed."
        ) from error


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it (.jsonl.zst).")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole database, as it is at one moment, to a file. The server may go on working."""
    with reported(as_json=as_json):
        with opened(data_dir) as database:
            done = backups.write(database, file)
        if as_json:
            print_json({"file": str(file), "rows": done.rows, "bytes": done.size})
        else:
            out.print(f"{done.rows} rows, {done.size} bytes, written to {file}.", markup=False)


def restore(
    file: Annotated[Path, typer.Argument(help="What edge-central backup wrote.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Fill an empty database, SQLite or PostgreSQL, from a backup of either."""
    with reported(as_json=as_json):
        if not file.is_file():
            raise InputError(f"{file} is not a file.")
        with opened(data_dir) as database:
            rows = backups.read(database, file)
        if as_json:
            print_json({"file": str(file), "rows": rows})
        else:
            out.print(f"{rows} rows restored from {file}.", markup=False)
