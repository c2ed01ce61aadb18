"""``doctor`` says what is missing and the exact command to get it; ``bench`` how fast this is."""

from __future__ import annotations

import asyncio
import json as json_module
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edge_runtime.commands.console import out, print_json, reported
from edge_runtime.commands.options import Json, Pack, Profile
from edge_runtime.commands.smoke import STAGES
from edge_runtime.config import Settings, load_settings
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.turn import Done

_SMOKE_TIMEOUT_S = 180
_MIN_FREE_MB = 500
_PROGRAMS = {
    "tesseract": "apt-get install tesseract-ocr tesseract-ocr-chi-sim tesseract-ocr-spa",
    "espeak-ng": "apt-get install espeak-ng",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is in order, what was seen, and what to do."""

    check: str
    ok: bool
    detail: str
    fix: str = ""


def doctor(
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Look at everything the assistant needs; each engine is tried in a process of its own.

    Exits with 1 when something is wrong.

    [bold]Examples[/]

    edge-runtime doctor

    edge-runtime doctor --profile lite --json
    """
    with reported(as_json=json):
        settings = load_settings(profile=profile, pack=pack)
        findings = []
        for finding in _examine(settings):
            findings.append(finding)
            if not json:
                mark = "[green]ok  [/]" if finding.ok else "[red]FAIL[/]"
                out.print(mark, end=" ")
                out.print(f"{finding.check}: {finding.detail}", markup=False, soft_wrap=True)
                if finding.fix:
                    out.print(f"       {finding.fix}", style="cyan", markup=False, soft_wrap=True)
        healthy = all(finding.ok for finding in findings)
        if json:
            print_json({"healthy": healthy, "checks": [asdict(finding) for finding in findings]})
        if not healthy:
            raise typer.Exit(1)


def _examine(settings: Settings) -> Iterator[Finding]:
    yield _python()
    for program, command in _PROGRAMS.items():
        yield _program(program, command)
    yield _pack(settings)
    yield _folder("data folder", settings.data_dir, "EDGE_DATA_DIR")
    yield _folder("models folder", settings.models_dir, "EDGE_MODELS_DIR")
    yield _understanding(settings)
    for stage in STAGES:
        engine = getattr(settings.engines, stage)
        if engine:
            yield _engine(stage, engine, settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), version)


def _program(name: str, command: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, path is not None, path or "not installed", "" if path else command)


def _pack(settings: Settings) -> Finding:
    from edge_runtime.packs import load_pack

    try:
        pack = load_pack(settings.pack_dir)
    except EdgeRuntimeError as error:
        return Finding(
            "pack", False, error.message, f"edge-runtime knowledge check {settings.pack}"
        )
    return Finding("pack", True, f"{pack.name} {pack.version}: {', '.join(pack.languages)}")


def _understanding(settings: Settings) -> Finding:
    """Which classifiers read what customers say, and why those."""
    from edge_runtime.packs import load_pack
    from edge_runtime.wiring import Engines

    try:
        heads = Engines(settings, load_pack(settings.pack_dir)).heads
    except EdgeRuntimeError as error:
        return Finding("understanding", False, error.message, error.hint)
    return Finding("understanding", True, heads.reason)


def _folder(name: str, path: Path, variable: str) -> Finding:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            free = shutil.disk_usage(path).free // 2**20
    except OSError as error:
        return Finding(
            name, False, f"{path}: {error.strerror}", f"Make it writable, or set {variable}."
        )
    enough = free >= _MIN_FREE_MB
    return Finding(name, enough, f"{path}: {free} MiB free", "" if enough else "Free some space.")


def _engine(stage: str, engine: str, settings: Settings) -> Finding:
    smoke = [sys.executable, "-m", "edge_runtime.commands.smoke"]
    command = [*smoke, stage, settings.profile, settings.pack]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SMOKE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(stage, False, f"{engine} did not answer within {_SMOKE_TIMEOUT_S} s")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return Finding(
            stage, False, f"{engine} crashed ({name})", "Run 'make clean setup' to rebuild it."
        )
    result = _last_json(done.stdout)
    if "error" in result:
        return Finding(stage, False, result["error"]["message"], result["error"]["hint"])
    if done.returncode or not result:
        return Finding(
            stage, False, f"{engine} stopped with exit code {done.returncode}", "Run 'make setup'."
        )
    detail = f"{engine}: loaded in {result['load_ms']} ms, answered in {result['smoke_ms']} ms"
    return Finding(stage, True, f"{detail}, peak {result['peak_mb']} MiB")


def _last_json(text: str) -> dict[str, Any]:
    lines = text.strip().splitlines()
    try:
        value = json_module.loads(lines[-1])
    except (IndexError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def bench(
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Times each question is asked.")] = 3,
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Ask the pack's own first questions and print each stage's median milliseconds.

    [bold]Example[/]

    edge-runtime bench --rounds 5 --json
    """
    with reported(as_json=json), tempfile.TemporaryDirectory() as scratch:
        from edge_runtime.assistant import Assistant

        settings = load_settings(profile=profile, pack=pack, data_dir=Path(scratch))
        assistant = Assistant(settings)
        try:
            medians = asyncio.run(_measure(assistant, rounds))
        finally:
            assistant.close()
        if json:
            print_json(medians)
            return
        table = Table("stage", "median ms", title=f"profile {settings.profile}")
        for stage, value in medians.items():
            table.add_row(stage, f"{value:.1f}")
        out.print(table)


async def _measure(assistant: Any, rounds: int) -> dict[str, float]:
    from edge_runtime.assistant import TurnRequest

    questions = [q for asked in assistant.describe()["quick"].values() for q in asked]
    timings: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for question in questions:
            async for event in assistant.turn(TurnRequest(question)):
                if isinstance(event, Done) and number:
                    for stage, value in event.timings_ms.items():
                        timings.setdefault(stage, []).append(value)
    return {stage: statistics.median(values) for stage, values in timings.items()}
