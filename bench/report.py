"""How benchmarks report: a table for people, a JSON file for programs, the machine on both."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edge_runtime import __version__

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Processor, cores and Python, as a reader needs them to judge a figure."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def report(name: str, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print ``rows`` as a table and write them to ``bench/results/<name>.json``."""
    console = Console(width=120)
    table = Table(*rows[0].keys(), title=title, caption=machine())
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    body = {
        "title": title,
        "version": __version__,
        "machine": machine(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": [dict(row) for row in rows],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(body, ensure_ascii=False, indent=1) + "\n")


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
