"""Runs the benchmarks named on the command line, or all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from bench import delta, encoder, ingest, memory, quality, redaction, turns

BENCHES: Mapping[str, Callable[[], object]] = {
    "delta": delta.main,
    "memory": memory.main,
    "turns": turns.main,
    "quality": quality.main,
    "encoder": encoder.main,
    "redaction": redaction.main,
    "ingest": ingest.main,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.stderr.write(f"no benchmark '{unknown[0]}'; there are: {', '.join(BENCHES)}\n")
        return 2
    for name in names or BENCHES:
        BENCHES[name]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
