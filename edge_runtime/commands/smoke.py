"""Runs one engine's smoke test: ``python -m edge_runtime.commands.smoke STAGE PROFILE PACK``.

``doctor`` starts it as a child, so that an engine that crashes the process is a finding, not the
end of the examination. Prints one JSON object; the exit code is the error's.
"""

from __future__ import annotations

import sys
import time

from edge_runtime.commands.console import error_object, print_json
from edge_runtime.config import load_settings
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.memory import peak_mb

STAGES = ("encoder", "asr", "ocr", "tts", "llm")


def main(stage: str, profile: str, pack: str) -> int:
    from edge_runtime.packs import load_pack
    from edge_runtime.wiring import Engines

    settings = load_settings(profile=profile, pack=pack)
    try:
        engines = Engines(settings, load_pack(settings.pack_dir))
        start = time.perf_counter()
        with getattr(engines, stage).use() as engine:
            loaded = time.perf_counter()
            engine.smoke()
            done = time.perf_counter()
    except EdgeRuntimeError as error:
        print_json({"error": error_object(error)})
        return error.exit_code
    print_json(
        {
            "load_ms": round((loaded - start) * 1e3),
            "smoke_ms": round((done - loaded) * 1e3),
            "peak_mb": int(peak_mb()),
        }
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
