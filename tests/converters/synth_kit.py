"""What the tests of synth share: the folder it makes, and reading it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edge_runtime.config import PACKS_DIR

RETAIL = PACKS_DIR / "retail"

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """A folder that synth made, read when asked for."""

    path: Path
    report: Mapping[str, Any]

    @cached_property
    def train(self) -> Rows:
        return rows(self.path / "train.jsonl")

    @cached_property
    def valid(self) -> Rows:
        return rows(self.path / "valid.jsonl")

    @cached_property
    def talks(self) -> Rows:
        return rows(self.path / "replies" / "train.jsonl")

    @cached_property
    def held_talks(self) -> Rows:
        return rows(self.path / "replies" / "valid.jsonl")


def rows(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
