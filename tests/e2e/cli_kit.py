"""Driving the installed ``edge-runtime`` command, and the data, sounds and pictures it needs."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.config import load_settings
from edge_runtime.rooms import Rooms

EDGE = str(Path(sys.executable).with_name("edge-runtime"))

PATIENT = {"llm_first_token_s": 60.0, "turn_timeout_s": 120.0, "llm_timeout_s": 60.0}
"""The build machine may be busy: only what is answered is asserted, not how fast."""


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        (line,) = self.lines
        return line


def environment(data: Path, **more: str) -> dict[str, str]:
    """For a child that keeps its data in ``data`` and ignores this user's settings."""
    patient = {f"EDGE_{name.upper()}": str(value) for name, value in PATIENT.items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
    models = str(load_settings().models_dir)
    own = {"EDGE_DATA_DIR": str(data), "EDGE_MODELS_DIR": models, "COLUMNS": "200"}
    return {**kept, "XDG_CONFIG_HOME": str(data / "config"), **patient, **own, **more}


def edge(
    *arguments: str | Path,
    data: Path,
    stdin: str = "",
    wrapped_in: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Ran:
    """Run ``edge-runtime``; a stack trace is a failure of the test whatever else happens."""
    done = subprocess.run(
        [*wrapped_in, EDGE, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment(data, **(env or {})),
        timeout=240,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Traceback" not in done.stdout, done.stdout
    return Ran(done.returncode, done.stdout, done.stderr)


def prepared_data(factory: pytest.TempPathFactory, name: str = "data") -> Path:
    """A new data folder; classifiers and index of the retail pack are ready beside the models.

    Making them takes a while, so it is done once for all the workers of a test run.
    """
    base = factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with (shared / "prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "prepared").exists():
            rooms = Rooms(load_settings(data_dir=shared / "preparing"), journal=False)
            rooms.prepare()
            rooms.close()
            (shared / "prepared").touch()
    return factory.mktemp(name)


def models_apart(folder: Path) -> Path:
    """A models folder with this device's models, whose derived files are a copy."""
    real, own = load_settings().models_dir, folder / "models"
    own.mkdir()
    for name in ("installed", "blobs"):
        (own / name).symlink_to(real / name)
    if (real / "derived").exists():
        shutil.copytree(real / "derived", own / "derived")
    return own


def cjk_font(size: int) -> ImageFont.FreeTypeFont:
    asked = ["fc-match", "--format=%{file}\n%{index}", "Noto Sans CJK SC"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    file, index = found.split("\n")
    assert "CJK" in file, "Noto CJK fonts are not installed: apt-get install fonts-noto-cjk"
    return ImageFont.truetype(file, size, index=int(index) & 0xFFFF)


def picture_of(path: Path, *lines: str) -> Path:
    """Save black words on white at ``path``."""
    page = Image.new("RGB", (760, 60 + len(lines) * 60), "white")
    pen = ImageDraw.Draw(page)
    for number, text in enumerate(lines):
        pen.text((40, 30 + number * 60), text, fill="black", font=cjk_font(36))
    page.save(path)
    return path


def receipt(path: Path) -> Path:
    """Save a till receipt of the retail pack's own shop, bought today, at ``path``."""
    return picture_of(
        path,
        "云杉百货总店",
        "单号：XS2026112407",
        f"日期：{date.today():%Y年%m月%d日}",
        "纯牛奶  13.00",
        "外套  199.00",
        "合计  ￥212.00",
    )
