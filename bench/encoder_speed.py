"""Speed and memory of one encoder on one core, in a process of its own.

``python -m bench.encoder_speed``: standard input is one JSON object with ``base`` and ``task``
(file name → path; task may be empty) and ``texts``; prints one with the figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.memory import peak_mb
from edge_runtime.modelfiles import PIECES, WORDS
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.encoder import Encoder
from edge_runtime.nlu.student import load_task
from edge_runtime.nlu.tokenizer import Tokenizer

TOKENS = 12
_ROUNDS = 5
_MIN_TEXTS = 50
_WARM_UP = 10


def measured(
    base: Mapping[str, Path], task: Mapping[str, Path], texts: Sequence[str]
) -> dict[str, float]:
    """Milliseconds of a call (tokeniser included) and peak MiB, from a fresh process."""
    job = {
        "base": {name: str(path) for name, path in base.items()},
        "task": {name: str(path) for name, path in task.items()},
        "texts": list(texts),
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.encoder_speed"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"measuring the encoder failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def twelve_tokens(base: Mapping[str, Path], texts: Sequence[str]) -> list[str]:
    """Those of ``texts`` that the encoder sees as :data:`TOKENS` tokens."""
    tokenizer = Tokenizer(E5File(base[WORDS]), base[PIECES])
    wanted = [t for t in texts if len(tokenizer.encode("query: " + t, 128)) == TOKENS]
    return list(dict.fromkeys(wanted))


def _measure(job: Mapping[str, Any]) -> dict[str, float]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    base = {name: Path(path) for name, path in job["base"].items()}
    heads = {name: Path(path) for name, path in job["task"].items()}
    texts: list[str] = job["texts"]
    if len(texts) < _MIN_TEXTS:
        raise SystemExit(f"{len(texts)} texts are too few to measure on")
    task = load_task(heads) if heads else None
    times: list[float] = []
    peaks: list[float] = []
    for _ in range(_ROUNDS):
        # A new one, which remembers nothing: every call runs the network.
        encoder = Encoder(base, 1, task)
        for number, text in enumerate(texts):
            start = time.perf_counter()
            if task:
                encoder.understand([text])
            else:
                encoder.encode([text], "query")
            if number >= _WARM_UP:
                times.append((time.perf_counter() - start) * 1000)
        encoder.close()
        peaks.append(peak_mb())
    return {
        "p50 ms": round(float(np.percentile(times, 50)), 2),
        "p95 ms": round(float(np.percentile(times, 95)), 2),
        # A device loads one: what the next ones add is none of its memory.
        "peak MB": round(peaks[0], 1),
    }


if __name__ == "__main__":
    print(json.dumps(_measure(json.load(sys.stdin))))
