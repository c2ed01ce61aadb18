"""Peak memory and start-up of the profiles: one process a profile, a whole customer's visit each.

The visit is a text turn answered from the pack, one phrased by the model, a spoken turn with a
spoken reply, and a photographed receipt. Helper programs (tesseract, espeak-ng) are counted: the
peak is of the resident memory of the process and its children together, sampled every 10 ms.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.report import report

PROFILES = ("lite", "standard")
BOUND_MB = {"lite": 450, "standard": 1600}
_SAMPLE_S = 0.01


def main() -> None:
    rows = []
    for profile in PROFILES:
        measured = _in_child(profile)
        rows.append(
            {
                "profile": profile,
                "start-up s": measured["startup_s"],
                "idle MB": measured["idle_mb"],
                "peak MB": measured["peak_mb"],
                "bound MB": BOUND_MB[profile],
                **{f"{k}: peak / after": v for k, v in measured["after"].items()},
            }
        )
    report("memory", "Memory and start-up", rows)


def _in_child(profile: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory", profile],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the {profile} visit failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


class PeakMeter(threading.Thread):
    """Samples the resident memory of this process and its descendants."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb = 0.0
        self._lap_mb = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            now = tree_mb(os.getpid())
            self.peak_mb = max(self.peak_mb, now)
            self._lap_mb = max(self._lap_mb, now)

    def lap(self) -> float:
        """The peak since the last lap."""
        lap, self._lap_mb = self._lap_mb, 0.0
        return lap

    def stop(self) -> float:
        self._over.set()
        self.join()
        return self.peak_mb


def tree_mb(pid: int) -> float:
    """Resident MiB of ``pid`` and every program it started.

    A child that has not yet called ``exec`` still shows its parent's memory, and its command
    line: it is not counted.
    """
    own = _command_line(pid)
    total = 0.0
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        try:
            pages = int(Path(f"/proc/{current}/statm").read_text().split()[1])
            for task in Path(f"/proc/{current}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue
        if current == pid or _command_line(current) != own:
            total += pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return total


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def _visit(profile: str) -> dict[str, object]:
    start = time.perf_counter()
    from bench.workload import MODEL_ANSWERS, PACK_ANSWERS, VOICE, receipt_png
    from edge_runtime.assistant import Assistant, TurnRequest
    from edge_runtime.config import load_settings

    after: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        meter = PeakMeter()
        meter.start()
        assistant = Assistant(load_settings(profile=profile, data_dir=Path(scratch)))
        assistant.rooms.prepare()
        startup = time.perf_counter() - start
        idle = tree_mb(os.getpid())
        audio = _spoken_question(VOICE[0].text)
        requests = {
            "text": TurnRequest(PACK_ANSWERS[0].text),
            "model": TurnRequest(MODEL_ANSWERS[0].text),
            "voice": TurnRequest(audio=audio, speak=True),
            "picture": TurnRequest("我要开发票", image=receipt_png()),
            "voice again": TurnRequest(audio=audio, speak=True),
        }
        for name, request in requests.items():
            async for _ in assistant.turn(request):
                pass
            after[name] = f"{meter.lap():.0f} / {tree_mb(os.getpid()):.0f}"
        peak = meter.stop()
        assistant.close()
    return {
        "startup_s": round(startup, 2),
        "idle_mb": round(idle),
        "peak_mb": round(peak),
        "after": after,
    }


def _spoken_question(text: str) -> bytes:
    """The question from espeak-ng: here only the engines' memory counts, not what they hear."""
    done = subprocess.run(
        ["espeak-ng", "-v", "cmn", "--stdout"], input=text.encode(), capture_output=True, check=True
    )
    return done.stdout


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_visit(sys.argv[1]))))
