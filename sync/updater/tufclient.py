"""``edge-sync tuf-client``: the device's verifier as the TUF conformance suite drives one.

The interface is that of theupdateframework/tuf-conformance (CLIENT-CLI.md): exit code 0 when all
went well, 1 when anything was refused; trusted metadata lies in its folder under plain names.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import httpx
import typer
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from edge_runtime.bundles.blobs import storage_errors
from edge_runtime.commands.console import err
from edge_runtime.errors import ConfigError, EdgeRuntimeError, InputError
from edge_runtime.files import atomic_writer, write_atomic
from sync.updater.repository import Repository
from sync.updater.transfer import Mirror, MirrorFetcher

_MAX_ROOT_BYTES = 512_000
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


def tuf_client(
    command: Annotated[Literal["init", "refresh", "download"], typer.Argument()],
    trusted_root: Annotated[Path | None, typer.Argument(help="For init: root.json.")] = None,
    metadata_dir: Annotated[Path, typer.Option(help="Folder of the trusted metadata.")] = Path(),
    metadata_url: Annotated[str, typer.Option(help="Where the metadata lies.")] = "",
    target_name: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    target_dir: Annotated[Path | None, typer.Option(help="Folder to download to.")] = None,
    target_base_url: Annotated[str, typer.Option(help="Where the targets lie.")] = "",
) -> None:
    """Check a TUF repository with this device's verifier (for conformance tests)."""
    try:
        if command == "init":
            _init(metadata_dir, trusted_root)
        else:
            with httpx.Client(timeout=_TIMEOUT) as client, tempfile.TemporaryDirectory() as parts:
                urls = (_base(metadata_url), _base(target_base_url))
                fetcher = MirrorFetcher([Mirror(*urls, client)], Path(parts))
                repository = Repository(metadata_dir, fetcher, *urls)
                repository.refresh()
                if command == "download":
                    _download(repository, target_name or [], target_dir)
    except EdgeRuntimeError as error:
        err.print("error:", str(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _init(metadata_dir: Path, trusted_root: Path | None) -> None:
    if trusted_root is None:
        raise ConfigError("init needs the trusted root's file.")
    with storage_errors(trusted_root), trusted_root.open("rb") as file:
        write_atomic(metadata_dir / "root.json", file.read(_MAX_ROOT_BYTES))


def _download(repository: Repository, names: list[str], folder: Path | None) -> None:
    if folder is None or not names:
        raise ConfigError("download needs --target-name and --target-dir.")
    for name in names:
        target = repository.find(name)
        if target is None:
            raise InputError(f"The repository has no target {name}.")
        path = folder / quote(name, "")
        if not _is(path, target):
            with (
                storage_errors(folder),
                repository.opened(target) as file,
                atomic_writer(path) as to,
            ):
                shutil.copyfileobj(file, to)


def _is(path: Path, target: TargetFile) -> bool:
    try:
        with path.open("rb") as file:
            target.verify_length_and_hashes(file)
    except (OSError, LengthOrHashMismatchError):
        return False
    return True


def _base(url: str) -> str:
    return url if url.endswith("/") else f"{url}/"
